"""Every data set, view, epoch, worker and rank draws from a stream of its own, and the number of workers is no matter."""

import copy
import itertools
import os
import pickle
import random

import numpy as np
import pytest
import torch
from torch.utils.data import (
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    WeightedRandomSampler,
    get_worker_info,
)

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A

import featmix as fm
from featmix.pipeline.generators import Sources

WORKERS = {"0": {}, "2": {"num_workers": 2}, "persistent": {"num_workers": 2, "persistent_workers": True}}
GREY = np.full((4, 4, 3), 128, np.uint8)


def grey(count=8):
    return [(GREY, number) for number in range(count)]


def noise():
    return A.Compose([A.GaussNoise(std_range=(0.2, 0.4), p=1)])


def from_globals(image):
    return torch.tensor([[[random.random(), np.random.rand(), torch.rand(()).item()]]], dtype=torch.float64)


def rows(loader, count=2):
    return [image.numpy().tobytes() for _ in range(count) for images, _ in loader for image in images]


@pytest.fixture
def as_rank(monkeypatch):
    def be(number):
        monkeypatch.setattr("featmix.pipeline.streams.rank", lambda: number)
        monkeypatch.setattr("featmix.pipeline.numbering.rank", lambda: number)

    return be


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("whose", ["the pipeline's loader", "torch's loader"])
def test_three_domains_two_epochs_shuffled_are_all_distinct(seed, workers, whose):
    pipeline = fm.Pipeline(sample=noise(), seed=seed)
    domains = ConcatDataset([pipeline.dataset(grey()) for _ in range(3)])
    settings = {"batch_size": 4, "shuffle": True, **WORKERS[workers]}
    if whose == "torch's loader":
        loader = DataLoader(domains, collate_fn=pipeline.collate, **settings)
    else:
        loader = pipeline.loader(domains, **settings)
    drawn = rows(loader)
    assert len(drawn) == len(set(drawn)) == 48


@pytest.mark.parametrize("sample", [noise(), from_globals], ids=["of albumentations", "from global generators"])
def test_the_number_of_workers_is_no_matter(sample):
    def run(**settings):
        pipeline = fm.Pipeline(sample=sample, seed=0)
        others = pipeline.dataset(grey(2))
        loader = pipeline.loader(grey(), batch_size=2, shuffle=True, **settings)
        return rows(loader), others[0][0].tobytes() if sample is not from_globals else b""

    first = run()
    assert len(set(first[0])) == 16
    for settings in list(WORKERS.values())[1:]:
        assert run(**settings) == first


def test_the_number_of_workers_is_no_matter_without_batches_and_in_a_data_set_of_data_sets():
    def run(together, **settings):
        pipeline = fm.Pipeline(sample=noise(), seed=0)
        if not together:
            loader = pipeline.loader(grey(), batch_size=None, collate_fn=list, shuffle=True, **settings)
            return [image.tobytes() for image, _ in loader]
        domains = ConcatDataset([pipeline.dataset(grey(4)), Subset(pipeline.dataset(grey()), range(4))])
        return rows(pipeline.loader(domains, batch_size=4, shuffle=True, **settings))

    for together in (False, True):
        first = run(together)
        assert len(set(first)) == len(first) == (16 if together else 8)
        assert run(together, **WORKERS["2"]) == first


def test_what_is_drawn_twice_in_an_epoch_is_moved_twice():
    sampler = WeightedRandomSampler([1.0] + [0.0] * 7, 12)
    loader = fm.Pipeline(sample=noise(), seed=0).loader(grey(), batch_size=4, sampler=sampler)
    drawn = rows(loader)
    assert len(drawn) == len(set(drawn)) == 24


def test_ranks_draw_apart_in_their_workers_too(as_rank):
    drawn = {}
    for rank, workers in itertools.product((0, 1), WORKERS):
        as_rank(rank)
        drawn[rank, workers] = rows(fm.Pipeline(sample=noise(), seed=0).loader(grey(4), batch_size=2, **WORKERS[workers]))
    for rank in (0, 1):
        assert drawn[rank, "0"] == drawn[rank, "2"] == drawn[rank, "persistent"]
    assert not set(drawn[0, "0"]) & set(drawn[1, "0"])


def test_numbers_survive_pickles_and_copies():
    pipeline = fm.Pipeline(sample=noise(), seed=0)
    first, second = pipeline.dataset(grey()), pipeline.dataset(grey())
    sent = pickle.loads(pickle.dumps(second))
    drawn = [each[0][0].tobytes() for each in (first, second, sent)]
    assert drawn[1] == drawn[2] != drawn[0]
    for other in (pickle.loads(pickle.dumps(pipeline)), copy.deepcopy(pipeline)):
        third = other.dataset(grey())
        assert third.stream.number == 2
        assert third[0][0].tobytes() not in drawn
        assert other.dataset(first) is first  # of the same family, and not transformed again


@pytest.mark.parametrize("workers", WORKERS)
def test_iterable_data_sets_of_one_pipeline_draw_apart(workers):
    class Domain(IterableDataset):
        def __iter__(self):
            info = get_worker_info()
            return iter(grey(8)[:: 1 if info is None else 2])

    def run():
        pipeline = fm.Pipeline(sample=noise(), seed=0)
        return rows(
            pipeline.loader(ChainDataset([pipeline.dataset(Domain()) for _ in range(2)]), batch_size=4, **WORKERS[workers])
        )

    first = run()
    assert len(first) == len(set(first)) == 32
    assert run() == first


def test_what_the_pipeline_made_is_not_transformed_again():
    pipeline = fm.Pipeline(sample=lambda image: image + 1, seed=0)
    dataset = pipeline.dataset(grey())
    assert pipeline.dataset(dataset) is dataset
    held = (dataset, dataset, ConcatDataset([dataset]), Subset(dataset, [0]), Around(one=dataset))
    loaders = [pipeline.loader(each, batch_size=8) for each in held]
    assert all(float(images.min() * 255) == 129 for loader in loaders for images, _ in loader)
    with pytest.raises(
        fm.FeatmixError, match=r"source: expected data sets of this pipeline alone, or none of them, got 1 of 2"
    ):
        pipeline.loader(ConcatDataset([dataset, Subset(grey(), [0])]))
    assert float(fm.Pipeline(sample=lambda image: image + 1).dataset(dataset)[0][0].min()) == 130  # another pipeline's


def test_one_pipeline_over_another_s_data_sets_does_not_depend_on_workers_either():
    def run(**settings):
        inner = fm.Pipeline(sample=noise(), seed=0)
        source = ConcatDataset([inner.dataset(grey(4)), inner.dataset(grey(4))])
        return rows(fm.Pipeline(sample=noise(), seed=0).loader(source, batch_size=4, shuffle=True, **settings))

    first = run()
    assert len(set(first)) == 16
    assert run(**WORKERS["2"]) == first


class Around:
    """A data set of one's own that holds others."""

    def __init__(self, **held):
        self.held = held

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return self.held["one"][index]


def test_two_loaders_over_one_data_set_draw_and_shuffle_apart():
    pipeline = fm.Pipeline(sample=noise(), seed=0)
    dataset = pipeline.dataset(grey())
    loaders = [pipeline.loader(dataset, batch_size=8, shuffle=True) for _ in range(2)]
    drawn = [rows(loader) for loader in loaders]
    assert len({*drawn[0], *drawn[1]}) == 32
    (_, one), (_, other) = (next(iter(loader)) for loader in loaders)
    assert one.tolist() != other.tolist()


def test_global_generators_are_where_they_were_and_a_data_set_s_own_draws_are_its_own():
    class Drawing(Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            return GREY, np.random.rand()

    for sample in (noise(), from_globals):
        torch.manual_seed(5), random.seed(5), np.random.seed(5)
        np.random.randn()  # NumPy keeps the second of two
        expected = copy.deepcopy((np.random.get_state(legacy=False), random.getstate(), torch.get_rng_state()))
        pipeline = fm.Pipeline(sample=sample, seed=0)
        rows(pipeline.loader(grey(), batch_size=4, shuffle=True))
        pipeline.dataset(grey())[0]
        numpy, python, bits = np.random.get_state(legacy=False), random.getstate(), torch.get_rng_state()
        assert (numpy["has_gauss"], numpy["gauss"], python) == (1, expected[0]["gauss"], expected[1])
        assert np.array_equal(numpy["state"]["key"], expected[0]["state"]["key"])
        assert torch.equal(bits, expected[2])
    loader = fm.Pipeline(sample=noise(), seed=0).loader(Drawing(), batch_size=2, **WORKERS["persistent"])
    assert len({value for _ in range(2) for _, values in loader for value in values.tolist()}) == 16


def test_states_are_kept_once_a_batch_and_only_where_a_transform_draws_from_them(monkeypatch):
    kept = []
    monkeypatch.setattr(np.random, "get_state", lambda get=np.random.get_state: kept.append("NumPy's") or get())
    monkeypatch.setattr(random, "getstate", lambda get=random.getstate: kept.append("Python's") or get())
    for sample, seed in itertools.product((noise(), from_globals), (None, 0)):
        kept.clear()
        rows(fm.Pipeline(sample=sample, seed=seed).loader(grey(), batch_size=4), 1)
        assert len(kept) == (4 if sample is from_globals else 0)


def test_what_a_transform_draws_from():
    def held(transform):
        return Sources(transform)._globals

    assert held(None) == held(noise()) == (False, False)
    assert held(torch.nn.Identity()) == (True, False)
    assert held(from_globals) == held(A.Compose([A.Lambda(image=from_globals)])) == (True, True)


def test_a_pipeline_that_was_used_is_saved_and_copied_as_before():
    pipeline = fm.Pipeline(sample=noise(), seed=0)
    before = fm.to_dict(pipeline)
    list(pipeline.loader(grey(2)))
    assert fm.to_dict(pipeline) == before
    other = copy.deepcopy(pipeline.sample), pickle.loads(pickle.dumps(pipeline.sample))
    assert all(each(image=GREY)["image"].shape == (4, 4, 3) for each in other)
    assert isinstance(pipeline.sample.py_random.choice([1, 2, 3]), int)
    assert 0 <= pipeline.sample.py_random.getrandbits(70) < 2**70


def test_albumentations_draws_what_its_distributions_say():
    crops = A.Compose([A.HorizontalFlip(p=0.25), A.Rotate(limit=(0, 90), p=1)], save_applied_params=True)
    seen = []

    def sample(image):
        done = crops(image=image)
        seen.append([next(iter(each)) if isinstance(each, dict) else each[0] for each in done["applied_transforms"]])
        return done["image"]

    list(fm.Pipeline(sample=sample, seed=0).loader(grey(400), batch_size=8))
    share = sum(len(each) == 2 for each in seen) / 400
    assert abs(share - 0.25) < 0.11  # five standard deviations
