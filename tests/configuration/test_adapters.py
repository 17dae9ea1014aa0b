"""Adapted mixers, adapted strategies and featmix's transform for albumentations, in configurations."""

import os

import numpy as np
import pytest
import torch
from kornia import augmentation as K
from torch import nn

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A

import featmix as fm
from featmix.interop.albumentations import MomentExchange
from featmix.interop.kornia import from_kornia, to_kornia
from featmix.seeding import seed_transforms, seeded
from featmix.strategies.base import Strategy

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

MIXERS = [
    K.RandomMixUpV2(lambda_val=torch.tensor([0.2, 0.4]), p=0.7),
    K.RandomCutMixV2(use_correct_lambda=True, beta=torch.tensor(0.5)),
    K.RandomCutMixV2(num_mix=2, p=0.5, use_correct_lambda=True),
    K.PatchMix(patch_size=4),
    K.RandomMosaic(p=0.5),
]


@pytest.mark.parametrize("mixer", MIXERS, ids=lambda mixer: type(mixer).__name__)
def test_an_adapted_mixer_comes_back(mixer, tmp_path):
    strategy = from_kornia(mixer, num_classes=3)
    fm.save({"input": strategy}, tmp_path / "aug.yaml")
    again = fm.load(tmp_path / "aug.yaml")["input"]
    assert fm.to_dict(strategy)["strategy"]["name"] == "from_kornia"
    x = torch.rand(6, 3, 16, 16)
    for seed in range(5):
        one, two = (s.make_params(x.shape, generator=torch.Generator().manual_seed(seed)) for s in (strategy, again))
        assert torch.equal(strategy.transform(x, one), again.transform(x, two))
        assert torch.equal(one.mixture.matrix(), two.mixture.matrix())


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ({"name": "from_kornia"}, "strategy", "what from_kornia can be made with"),
        ({"name": "from_kornia", "mixer": 3}, "strategy.mixer", "RandomMixUpV2"),
        ({"name": "from_kornia", "mixer": {"class": "os.system"}}, "strategy.mixer.class", "allowed"),
        ({"name": "from_kornia", "mixer": {"class": "kornia.augmentation.RandomJigsaw"}}, "strategy.mixer", "mixes nothing"),
        ({"name": "from_kornia", "mixr": 3}, "strategy.mixr", "Did you mean 'mixer'"),
    ],
)
def test_refusals(value, path, message):
    with pytest.raises(fm.FeatmixError) as caught:
        fm.from_dict({"strategy": value})
    assert caught.value.argument in (path, "strategy")
    assert message in str(caught.value)


@pytest.mark.parametrize("wrap", [lambda s: s, to_kornia, lambda s: K.AugmentationSequential(to_kornia(s))])
def test_strategies_that_leave_labels_alone_may_stand_in_batch(wrap):
    pipeline = fm.Pipeline(batch=wrap(fm.MixStyle(p=1.0, alpha=0.3)))
    again = fm.from_dict(fm.to_dict(pipeline))
    x = torch.rand(6, 3, 8, 8)
    with seeded(0):
        first = pipeline.batch(x)
    with seeded(0):
        second = again.batch(x)
    assert torch.equal(first, second)
    assert not torch.equal(first, x)
    assert fm.to_dict(pipeline) == fm.to_dict(again)  # it has been used


@pytest.mark.parametrize("wrap", [lambda s: s, to_kornia, lambda s: K.AugmentationSequential(to_kornia(s))])
def test_those_that_mix_them_may_not(wrap):
    with pytest.raises(fm.FeatmixError, match=r"got CutMix, which mixes samples.*Put it into mix="):
        fm.Pipeline(batch=wrap(fm.CutMix()))
    inside = {
        "class": "featmix.interop.kornia_module.KorniaModule",
        "arguments": {"strategy": {"strategy": {"name": "cutmix"}}},
    }
    with pytest.raises(fm.FeatmixError, match=r"from_dict: batch: .*Put it into mix="):
        fm.from_dict({"batch": inside})


def test_modules_of_featmix_s_own_bring_what_they_define_and_no_more():
    for name in ("Strategy", "FeatmixError", "Params"):
        with pytest.raises(fm.FeatmixError, match="something that"):
            fm.from_dict({"batch": {"class": f"featmix.interop.kornia_module.{name}"}})


def test_moment_exchange_comes_back():
    transform = A.Compose([A.HorizontalFlip(), MomentExchange("pono", blend_ratio=(0.2, 1.0), metadata_key="styles", p=0.9)])
    again = fm.from_dict(fm.to_dict(fm.Pipeline(sample=transform))).sample
    image, styles = (np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8) for seed in (0, 1))
    outcomes = []
    for one in (transform, again):
        seed_transforms(one, seed=0)
        outcomes.append([one(image=image, styles=[styles])["image"] for _ in range(5)])
    assert np.array_equal(*outcomes)


def drawn(strategy: Strategy, mix_more: Strategy):
    """What two label mixers make of one sample a channel, and the label shares that are told."""
    model = nn.Sequential(nn.Identity(), nn.Identity())
    with fm.Pipeline(mix={"input": strategy, "1": mix_more}, seed=1).attach(model, example=torch.rand(4, 4, 16, 16)) as mixer:
        x = torch.eye(4).view(4, 4, 1, 1).expand(4, 4, 16, 16).contiguous()
        mix = mixer.draw(mixer.prepare(x), target=torch.arange(4))
        return model(x).mean((2, 3)), mix.mixture.dense(torch.eye(4))


@pytest.mark.parametrize("mixer", MIXERS, ids=lambda mixer: type(mixer).__name__)
def test_labels_are_content_when_an_adapted_mixer_is_stacked_under_mixup(mixer):
    held, shares = drawn(from_kornia(mixer), fm.Mixup())
    assert torch.allclose(held, shares, atol=1e-5)
