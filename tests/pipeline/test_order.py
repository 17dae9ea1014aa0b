"""The order of samples under the pipeline's seed, whoever samples."""

import os

import pytest
import torch
from torch import Generator
from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler

import featmix as fm

SOURCE = [(torch.zeros(3, 6, 6), label) for label in range(32)]
SAMPLERS = {
    "weighted": lambda: WeightedRandomSampler(torch.arange(32.0), 32),
    "without replacement": lambda: WeightedRandomSampler(torch.ones(32), 32, replacement=False),
    "random": lambda: RandomSampler(SOURCE),
    "subset": lambda: SubsetRandomSampler(range(32)),
}


def order(sampler, seed, *, batched=False, workers=0):
    torch.manual_seed(int.from_bytes(os.urandom(4)))  # whatever went on before
    settings = {"batch_sampler": BatchSampler(sampler, 4, False)} if batched else {"sampler": sampler, "batch_size": 4}
    loader = fm.Pipeline(seed=seed).loader(SOURCE, num_workers=workers, **settings)
    return [[label for _, labels in loader for label in labels.tolist()] for _ in range(2)]


@pytest.mark.parametrize("make", SAMPLERS.values(), ids=SAMPLERS)
@pytest.mark.parametrize("batched", [False, True])
def test_the_seed_repeats_the_order_of_every_sampler(make, batched):
    first, second = order(make(), 0, batched=batched)
    assert first != second
    assert order(make(), 0, batched=batched) == [first, second]
    assert order(make(), 1, batched=batched)[0] != first


def test_with_workers_too():
    assert order(SAMPLERS["weighted"](), 0, workers=1) == order(SAMPLERS["weighted"](), 0)


def test_without_a_seed_torch_s_decides():
    def run(seed):
        sampler, loaders = SAMPLERS["weighted"](), fm.Pipeline()
        torch.manual_seed(seed)
        return [labels.tolist() for _ in range(2) for _, labels in loaders.loader(SOURCE, sampler=sampler, batch_size=32)]

    assert run(0) == run(0) != run(1)
    assert run(0)[0] != run(0)[1]


def test_a_sampler_that_is_used_again_begins_anew():
    sampler = SAMPLERS["weighted"]()
    assert order(sampler, 0) == order(sampler, 0)


def test_a_generator_of_ones_own_stays():
    own = Generator().manual_seed(5)
    sampler = WeightedRandomSampler(torch.ones(32), 32, generator=own)
    fm.Pipeline(seed=0).loader(SOURCE, sampler=sampler)
    assert sampler.generator is own
    unseeded = SAMPLERS["weighted"]()
    fm.Pipeline(seed=0).loader(SOURCE, sampler=unseeded, generator=None)
    assert unseeded.generator is None
    fm.Pipeline(seed=0).loader(SOURCE, sampler=SequentialSampler(SOURCE))
