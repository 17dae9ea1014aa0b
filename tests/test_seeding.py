import copy
import pickle
import random
from functools import partial

import numpy as np
import pytest
import torch
from torch import Generator
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset

from featmix import FeatmixError
from featmix.seeding import derived, seed_transforms, seed_worker, seeded

A = pytest.importorskip("albumentations")
GREY = np.full((4, 4, 3), 100, np.uint8)


class Greys(Dataset):
    """Eight grey images under a random brightness; a sample is what the draw made of the grey."""

    def __init__(self, seed=None, transform=None):
        self.transform = transform or A.Compose([A.RandomBrightnessContrast((0.01, 0.5), (0, 0), p=1)], seed=seed)

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return float(self.transform(image=GREY.astype(np.float32) / 255)["image"].mean())


class Globals(Dataset):
    """What a callable that draws from the global generators would see."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.tensor([torch.rand(()).item(), np.random.rand(), random.random()], dtype=torch.float64)


def epochs(dataset, *, count=2, seed=None, **options):
    generator = None if seed is None else Generator().manual_seed(seed)
    loader = DataLoader(dataset, batch_size=2, num_workers=2, generator=generator, **options)
    return [[batch.tolist() for batch in loader] for _ in range(count)]


def values(drawn):
    return [value for epoch in drawn for batch in epoch for value in batch]


@pytest.mark.parametrize("compose_seed", [None, 0])
def test_without_it_workers_and_epochs_are_alike(compose_seed):
    first, second = epochs(Greys(compose_seed))
    assert first == second
    assert first[0] == first[1]
    assert first[2] == first[3]


@pytest.mark.parametrize("compose_seed", [None, 0])
@pytest.mark.parametrize("persistent", [False, True])
def test_workers_and_epochs_differ_and_a_seed_reproduces_them(compose_seed, persistent):
    def draw(seed, word=0):
        init = seed_worker(seed=word)
        return epochs(Greys(compose_seed), seed=seed, worker_init_fn=init, persistent_workers=persistent)

    drawn = draw(3)
    assert len(set(values(drawn))) == 16
    assert draw(3) == drawn
    assert not set(values(draw(4))) & set(values(drawn))
    assert not set(values(draw(3, word=1))) & set(values(drawn))


def test_torchs_own_seed_will_do():
    def draw():
        torch.manual_seed(0)
        return epochs(Greys(), worker_init_fn=seed_worker())

    with torch.random.fork_rng():
        assert draw() == draw()


@pytest.mark.slow
def test_spawned_workers_draw_what_forked_ones_do():
    forked = epochs(Greys(), seed=0, count=1, worker_init_fn=seed_worker())
    spawned = epochs(Greys(), seed=0, count=1, worker_init_fn=seed_worker(), multiprocessing_context="spawn")
    assert forked == spawned


def test_a_seed_given_to_compose_is_one_more_number():
    first, second = (epochs(Greys(seed), seed=0, worker_init_fn=seed_worker()) for seed in (1, 2))
    assert not set(values(first)) & set(values(second))


def test_global_generators_of_workers_are_seeded_too():
    first, again = (epochs(Globals(), seed=0, worker_init_fn=seed_worker()) for _ in range(2))
    assert first == again
    drawn = np.array(first).reshape(-1, 3)
    assert len(np.unique(drawn)) == drawn.size


def test_ranks_draw_apart(monkeypatch):
    apart = seed_worker()
    monkeypatch.setattr("featmix.seeding.rank", lambda: 1)
    sent = pickle.loads(pickle.dumps(apart))
    monkeypatch.undo()
    first, second = (epochs(Greys(), seed=0, count=1, worker_init_fn=init) for init in (apart, sent))
    assert not set(values(first)) & set(values(second))


def test_transforms_of_a_pipeline_draw_one_after_the_other():
    flips = A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)], seed=0, save_applied_params=True)

    def fired():
        return [len(flips(image=GREY)["applied_transforms"]) for _ in range(100)]

    assert 1 not in fired()  # as published: a seeded pipeline gives all its transforms the same stream
    assert seed_transforms(flips, seed=0) == 1
    assert {0, 1, 2} == set(fired())


def one():
    return A.HorizontalFlip()


def test_where_transforms_are_found():
    a, b = Greys(transform=one()), Greys(transform=one())
    assert seed_transforms(ConcatDataset([Subset(a, [0]), b, a]), seed=0) == 2
    assert seed_transforms({"train": [one(), one()]}, seed=0) == 2
    assert seed_transforms(partial(print, flip=one()), seed=0) == 1
    flip = one()
    assert seed_transforms(lambda image: flip(image=image), seed=0) == 1
    assert seed_transforms(a.__getitem__, seed=0) == 1
    assert seed_transforms([("path", 0)] * 200 + [one()], seed=0) == 0  # samples, not transforms


def test_pipelines_found_draw_apart_and_again_alike():
    two = [A.Compose([A.RandomBrightnessContrast(p=1)], seed=0) for _ in range(2)]

    def draw():
        assert seed_transforms(two, seed=5) == 2
        return [float(t(image=GREY)["image"].mean()) for t in two]

    first = draw()
    assert first[0] != first[1]
    assert draw() == first


def test_seeded_puts_back_what_was_there():
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    with seeded(1):
        inside = torch.rand(1), np.random.rand(), random.random()
    with seeded(1):
        assert inside == (torch.rand(1), np.random.rand(), random.random())
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    assert before[2] == random.getstate()


def test_derived_seeds_differ_with_every_word():
    assert len({derived(a, b) for a in range(10) for b in range(10)}) == 100


def test_refused():
    with pytest.raises(FeatmixError, match="seed_worker: seed"):
        seed_worker(seed=-1)
    with pytest.raises(FeatmixError, match="seed_transforms: seed"):
        seed_transforms([], seed=0.5)
    with pytest.raises(FeatmixError, match="main process"):
        seed_worker()(0)
    assert "seed=3" in repr(copy.deepcopy(seed_worker(seed=3)))
