"""What type checkers must complain about: each line marked ``refused``, and no other. Nothing here is run."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm


def misspelt_names() -> None:
    """Names that are not there."""
    fm.Moex()  # refused
    fm.list_strategy()  # refused
    fm.schedule.linar(0, 1)  # refused
    fm.testing.check_strategie()  # refused
    fm.interop.cornia.from_kornia(None)  # refused
    fm.configuration.dump({})  # refused
    from featmix import CutMixup  # refused

    CutMixup()


def wrong_settings() -> None:
    """Settings that a strategy does not have, or of another type."""
    fm.MoEx(alpha=0.4)  # refused
    fm.MoEx("pono", alpha=0.4)  # refused
    fm.Mixup(lam=0.4)  # refused
    fm.MixStyle(lam=0.4)  # refused
    fm.CutMix(prob=0.5)  # refused
    fm.MoEx(lamda=0.9)  # refused
    fm.MoEx("pono", 0.9)  # refused
    fm.MoEx(lam="0.9")  # refused
    fm.MoEx(0.9)  # refused
    fm.MoEx(memory=0.5)  # refused
    fm.MixStyle(strength=0.1)  # refused
    fm.PAdaIN(detach=None)  # refused
    fm.DSU(positive_only="no")  # refused
    fm.CutMix(scope=(0.1, 0.8))  # refused
    fm.Mixup(0.4)  # refused
    fm.ResizeMix(scope=0.5)  # refused
    fm.FMix(decay=fm.schedule.linear(1, 3))  # refused
    fm.EFDMix("in")  # refused
    fm.CorrelatedStyleUncertainty(eps=fm.schedule.constant(1e-5))  # refused
    fm.ManifoldMixup(num_class=10)  # refused
    fm.CutMix(num_prefix_tokens=1.0)  # refused
    fm.CrossNorm(layout=4)  # refused


def misspelt_words() -> None:
    """Settings that take one of several words, with another one."""
    fm.Mixup(per="row")  # refused
    fm.MoEx(per="samples")  # refused
    fm.CutMix(partner="derangment")  # refused
    fm.MixStyle(partner="cross-domain")  # refused
    fm.MixStyle(lam_per="row")  # refused
    fm.CutMix(lam_per="channel")  # refused
    fm.ManifoldMixup(lam_per=1)  # refused
    fm.manifold_mixup(["layer1"], lam_per="site")  # refused
    fm.CrossNorm(crop="styles")  # refused
    fm.CrossNorm(box_per="row")  # refused
    fm.PatchUp("medium")  # refused
    fm.PatchUp(mode="Soft")  # refused
    fm.FMix(labels="realized")  # refused
    fm.FMix(spectrum="as published")  # refused
    fm.EFDMix(gradient="exakt")  # refused
    fm.interop.kornia.from_kornia(None, partner="anyone")  # refused
    fm.interop.torchvision.from_torchvision(None, partner="anyone")  # refused
    word = "sample".upper()
    fm.CorrelatedStyleUncertainty(lam_per=word)  # refused


def wrong_calls(model: nn.Module) -> None:
    """Public functions and classes, called with something else than they take."""
    x = torch.rand(4, 3, 8, 8)
    fm.create(fm.MoEx)  # refused
    fm.create("moex", "in")  # refused
    fm.strategy_class(1)  # refused
    fm.register(fm.MoEx)  # refused
    fm.list_normalizers("in")  # refused
    fm.list_presets(1)  # refused
    fm.preset("moex/imagenet-resnet50", site={})  # refused
    fm.normalizer("gn2", epsilon=1e-5)  # refused
    fm.normalizer(8)  # refused
    fm.At("layer1")  # refused
    fm.At(fm.MoEx(), "layer1")  # refused
    fm.Compose(fm.At("layer1", fm.MoEx()))  # refused
    fm.OneOf([fm.MoEx(), fm.MixStyle()])  # refused
    fm.SomeOf([fm.At("layer1", fm.MoEx())])  # refused
    fm.attach(model, {"input": "cutmix"})  # refused
    fm.attach(model, {"input": fm.CutMix})  # refused
    fm.attach(model, fm.CutMix())  # refused
    fm.attach({"input": fm.CutMix()}, model)  # refused
    fm.Pipeline({"input": fm.CutMix()})  # refused
    fm.attach(model, {"input": fm.CutMix()}, sed=0)  # refused
    fm.manifold_mixup("layer1", alfa=2.0)  # refused
    fm.schedule.switch_off(0.5, 0.9)  # refused
    fm.Pipeline(samples=None)  # refused
    fm.save(fm.MoEx())  # refused
    fm.load(None)  # refused
    fm.to_dict()  # refused
    fm.from_dict("moex")  # refused
    fm.Tags(paper="An example")  # refused
    fm.Params(x)  # refused
    fm.Mixture.identity("4")  # refused


def wrong_results(mixer: fm.Mixer, model: nn.Module) -> None:
    """What comes out, taken for something else."""
    x, labels = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    moex: fm.MixStyle = fm.MoEx()  # refused
    anything: fm.MoEx = fm.create("moex")  # refused
    params = moex.make_params(x)  # refused
    str(params.partners)  # refused
    params.lam + 1  # refused
    anything.transform(x)  # refused
    mixer.drawn(x)  # refused
    mixer.draw(x, targets=labels)  # refused
    mixer.draw(x, labels=labels)  # refused
    mixer.draw()  # refused
    mix = mixer.draw(x)
    mix.loss(F.cross_entropy, model(x))  # refused
    mix.loss(F.cross_entropy, model(x), labels, reduction="sum")  # refused
    str(mix.lam)  # refused
    mix.params["input"] = fm.CutMix()  # refused
    mix.mixture.then(params)  # refused
    moments: fm.Moments = fm.normalizer("in").normalize(x)  # refused
    norm: fm.Normalizer = "pono"  # refused
    norm.moments(labels, masks=None)  # refused
    str(moments.deviation)  # refused
    raise fm.FeatmixError  # refused
