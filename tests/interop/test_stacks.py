"""Two mixers one after the other, the adapters' and the registry's: labels say what is in the result."""

import itertools

import pytest
import torch
from torch import Generator

import featmix as fm
from featmix.labels.composing import composed
from featmix.testing import every_strategy
from featmix.testing.law import mixes_content

K = pytest.importorskip("kornia.augmentation")
from featmix.interop.kornia import from_kornia  # noqa: E402

BATCH, SHAPE = 4, (2, 10, 8)
ADAPTED = {
    "kornia mixup": from_kornia(K.RandomMixUpV2(), partner="derangement"),
    "kornia cutmix": from_kornia(K.RandomCutMixV2(use_correct_lambda=True)),
    "kornia cutmix of three": from_kornia(K.RandomCutMixV2(num_mix=3, use_correct_lambda=True)),
    "kornia mosaic": from_kornia(K.RandomMosaic(p=0.8)),
    "kornia patchmix": from_kornia(K.PatchMix(patch_size=4)),
}


def registered():
    """Every mixer in the registry, once for each of its settings that changes what is mixed where."""
    found = {}
    for strategy in every_strategy():
        if mixes_content(strategy) and strategy.layout in (None, "bchw") and not strategy.num_prefix_tokens:
            mode = getattr(strategy, "mode", "")
            found.setdefault(f"{strategy.name} {mode}".strip(), type(strategy)(**{**strategy.settings(), "p": 1.0}))
    return found


MIXERS = {**registered(), **ADAPTED}


def content(strategies, seed):
    """Which share of each sample is in each row ``(B, B)``, and what the labels say."""
    generator, shape = Generator().manual_seed(seed), (BATCH, *SHAPE)
    drawn = [(strategy, strategy.make_params(shape, generator=generator)) for strategy in strategies]
    found = []
    for sample in range(BATCH):
        x = torch.zeros(shape)
        x[sample] = 1
        for strategy, params in drawn:
            x = strategy.transform(x, params)
        found.append(x.double().mean((1, 2, 3)))
    steps = [strategy.label_step("here", params) for strategy, params in drawn]
    return torch.stack(found, dim=1), composed(BATCH, steps).matrix().double()


def test_all_mixers_are_tried():
    names = {name.partition(" ")[0] for name in MIXERS}
    assert {name for name in fm.list_strategies() if mixes_content(fm.create(name))} <= names
    assert {"patchup soft", "patchup hard"} <= set(MIXERS)


@pytest.mark.parametrize(("first", "second"), list(itertools.product(MIXERS, repeat=2)))
def test_labels_of_two_measure_content(first, second):
    for seed in range(6):
        found, said = content([MIXERS[first], MIXERS[second]], seed)
        assert float((found - said).abs().max()) < 1e-5


@pytest.mark.parametrize("seed", range(12))
def test_labels_of_four_measure_content(seed):
    order = torch.randperm(len(MIXERS), generator=Generator().manual_seed(seed))[:4]
    found, said = content([list(MIXERS.values())[k] for k in order], seed)
    assert float((found - said).abs().max()) < 1e-5
