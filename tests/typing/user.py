"""What a user may write: every public name and every strategy, as type checkers and Python both accept it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import assert_type

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

import featmix as fm


def the_strategies() -> list[fm.Strategy]:
    """Each strategy with settings of its own, words among them, and of those that all share."""
    assert_type(fm.MoEx("pono", lam=0.9), fm.MoEx)
    return [
        fm.MoEx("pono", lam=0.9, eps=1e-5, detach=True, memory=64, p=0.5, partner="permutation"),
        fm.MixStyle("in", alpha=0.1, lam_per="sample", partner="crossdomain", unbiased=False, across="node"),
        fm.PAdaIN(eps_outside=True, detach_partner=False, positive_only=False),
        fm.CrossNorm("in", crop="style", box_per="sample", shuffle=True),
        fm.CorrelatedStyleUncertainty(alpha=0.3, lam_per="batch"),
        fm.DSU(strength=fm.schedule.linear(0, 1), num_prefix_tokens=1, layout="bnc", across=True),
        fm.EFDMix(gradient="exact", per="sample"),
        fm.Mixup(alpha=0.4, inplace=True, num_classes=10),
        fm.CutMix(alpha=1.0, loss_weight=fm.schedule.constant(1.0), own_term=0.5, layout="bhwc"),
        fm.FMix(decay=3.0, max_soft=0.1, labels="sampled", spectrum="published"),
        fm.ResizeMix(scope=(0.1, 0.8), sampling="published", lam_per="batch", p=fm.schedule.cosine(0.5, 1)),
        fm.Mosaic(scope=(0.2, 0.8), lam_per="batch", p=0.5),
        fm.PatchUp("hard", gamma=0.5, block_size=7, third_term="own", p=fm.schedule.switch_off(0.5, at=0.9)),
        fm.ManifoldMixup(alpha=2.0, per="batch", partner="derangement"),
    ]


def the_registry() -> None:
    """Strategies, normalizers and presets by name."""
    assert_type(fm.list_strategies(mixes_labels=False), list[str])
    assert_type(fm.create("moex", norm="pono", lam=0.9), fm.Strategy)
    assert_type(fm.strategy_class("moex"), type[fm.Strategy])
    assert_type(fm.list_normalizers(), list[str])
    assert_type(fm.list_presets(), list[str])
    tree: fm.At | fm.Compose | fm.OneOf | fm.SomeOf = fm.preset(fm.list_presets()[0])
    assert tree.leaves()
    assert fm.__version__


def the_decision() -> Tensor:
    """Draw, apply, and what the labels become."""
    x, labels = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    cutmix = fm.CutMix()
    params = cutmix.make_params(x.shape, generator=Generator().manual_seed(0), target=labels)
    assert_type(params.partner, Tensor)
    assert_type(params.lam, Tensor | None)
    assert_type(params.mixture, fm.Mixture)
    labels_again = params.mixture.then(fm.Mixture.identity(4)).dense(labels, num_classes=3)
    assert_type(labels_again, Tensor)
    there: fm.Params = params.to("cpu")
    assert len(there.partner) == 4
    return cutmix.transform(x, params)


def the_moments() -> None:
    """A normalizer, its moments, and back."""
    norm = fm.normalizer("gn2", layout="bchw", eps=1e-5, unbiased=True)
    assert_type(norm, fm.Normalizer)
    normalized, moments = norm.normalize(torch.rand(2, 4, 3, 3))
    assert_type(moments, fm.Moments)
    assert_type(moments.mean, Tensor)
    assert_type(norm.denormalize(normalized, moments), Tensor)


def a_step() -> None:
    """A model that nobody edited, with a tree attached to it."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    images, labels = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    model(images)
    one_of = fm.OneOf([fm.At("0", fm.MixStyle()), fm.At("1", fm.MoEx())], weights=[1, 2])
    tree = fm.Compose([fm.At("input", fm.CutMix()), fm.SomeOf([one_of], count=1, p=0.5)], share_partner=True)
    mixer = fm.attach(model, tree, seed=0)
    assert_type(mixer, fm.Mixer)
    mix = mixer.draw(images, target=labels)
    assert_type(mix, fm.Mix)
    assert_type(mix.params, dict[str, fm.Params])
    assert_type(mix.own_weight, Tensor)
    assert_type(mix.mixture.own_weight, Tensor)
    output = model(images)
    loss = mix.loss(F.cross_entropy, output, labels)
    assert_type(loss, Tensor)
    assert_type(mix.loss(F.cross_entropy, output, labels, label_map=False), Tensor)
    assert_type(mix.accuracy(output, labels, top_k=2, threshold=None), Tensor)
    mixer.draw(images, target=labels, partner=[1, 0, 3, 2], rows=labels > 0).loss(F.cross_entropy, model(images), labels)
    mixer.repeat(mix)
    mixer.skip()
    with torch.no_grad(), mixer.teaching(mix):
        model(images)
    mixer.remove()
    with fm.attach(model, {"input": fm.CutMix(p=0.5), "0": fm.MoEx("pono")}) as another:
        another.progress = 0.5
    fm.attach(model, {"0": fm.MoEx("pono")})
    fm.detach(model)
    recipe = fm.manifold_mixup(("input", "0"), alpha=2.0)
    assert_type(recipe, fm.OneOf)


def a_pipeline() -> None:
    """Input space and feature space in one object and one file."""
    pipeline = fm.Pipeline(sample=lambda image: image, mix={"input": fm.Mixup(memory=8)}, seed=0, images=(0, 1), masks="depth")
    assert_type(pipeline.summary(), str)
    assert_type(fm.Pipeline(stay="boxes").stay, tuple[str | int, ...])
    normalized = fm.Pipeline(normalize=((0.5, 0.5, 0.5), 0.25))
    assert_type(normalized.normalize, tuple[tuple[float, ...], tuple[float, ...]] | None)
    assert len(normalized.eval_dataset([(torch.rand(3, 4, 4), 0)], sample=lambda image: image)) == 1
    same = fm.from_dict(fm.to_dict({"input": fm.Mixup(alpha=0.4)}))
    assert fm.configuration.to_dict(same)
    with tempfile.TemporaryDirectory() as folder:
        fm.save({"input": fm.Mixup()}, Path(folder) / "mix.yaml")
        assert fm.load(Path(folder) / "mix.yaml")


def an_own_strategy() -> None:
    """It keeps its class, and meets the laws."""

    @fm.register("half-and-half")
    class HalfAndHalf(fm.Strategy):
        """A strategy of one's own."""

        tags = fm.Tags(mixes_labels=True, paper="An example, not a published method")

        def decide(self, shape: Sequence[int], draw: fm.Draw) -> fm.Params:
            """Draw nothing: the share is a constant."""
            return fm.Params.of(draw, 0.5)

        def act(self, x: Tensor, params: fm.Params) -> Tensor:
            """Blend."""
            lam = params.strength(x)
            return lam * x + (1 - lam) * x[params.partner]

    assert_type(HalfAndHalf(num_classes=3), HalfAndHalf)
    fm.testing.check_strategy(HalfAndHalf(), only=["replay"], examples=1)


def an_error() -> None:
    """What is wrong is refused by one type of error."""
    said = ""
    try:
        fm.create("moeks")
    except fm.FeatmixError as error:
        said = str(error)
    assert "moex" in said


def a_script_of_timm() -> None:
    """A drop-in for its Mixup, and its training loss for a model that strategies are attached to."""
    from argparse import ArgumentParser

    from featmix.trainers.timm import FeatMix, Mixup, add_arguments

    assert fm.trainers.timm.Mixup is Mixup

    x, y, parser = torch.rand(5, 3, 8, 8), torch.tensor([0, 1, 2, 1, 0]), ArgumentParser()
    mixup_fn = Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, mode="elem", label_smoothing=0.1, num_classes=3)
    assert_type(mixup_fn(x, y), tuple[Tensor, Tensor])
    add_arguments(parser)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 3))
    args = parser.parse_args(["--featmix", "moex@0:lam=0.9"])
    loss_fn = FeatMix(args, model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters()), example=x)
    loss_fn.set_epoch(0)
    loss_fn.mixup_enabled = False
    loss_fn(model(x), y)


def with_other_libraries() -> None:
    """Mixers of others, imported when they are used."""
    from kornia.augmentation import RandomMixUpV2

    assert_type(fm.interop.kornia.from_kornia(RandomMixUpV2(p=1.0), partner="permutation"), fm.Strategy)
