"""A real DataLoader with albumentations 2.0.8: what goes wrong without featmix, and what does not with it."""

import itertools
import multiprocessing
import os
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A

import featmix as fm


class Grey(Dataset):
    """The same grey image again and again, so that whatever differs was drawn."""

    def __init__(self, transform=None, count=16):
        self.transform, self.count = transform, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        image = np.full((6, 6, 3), 128, np.uint8)
        return (image if self.transform is None else self.transform(image=image)["image"]), index


def noise(seed=None):
    return A.Compose([A.GaussNoise(std_range=(0.2, 0.4), p=1)], seed=seed)


def epochs(loader, count=2):
    """One row of bytes for each image, an epoch after the other."""
    return [[image.numpy().tobytes() for images, _ in loader for image in images] for _ in range(count)]


@pytest.mark.parametrize("seed", [None, 0], ids=["not seeded", "seeded"])
def test_without_featmix_workers_and_epochs_are_identical(seed):
    loader = DataLoader(Grey(noise(seed)), batch_size=4, num_workers=2)
    first, second = epochs(loader)
    assert first == second
    assert first[:4] == first[4:8]  # the first worker's first batch, and the second's


@pytest.mark.parametrize("how", ["loader", "worker_init_fn", "nothing but dataset"])
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("seed", [None, 0])
def test_with_featmix_all_draws_are_distinct(how, persistent, seed):
    pipeline = fm.Pipeline(sample=noise(seed), seed=seed)
    settings = {"batch_size": 4, "num_workers": 2, "persistent_workers": persistent}
    if how == "loader":
        loader = pipeline.loader(Grey(), **settings)
    elif how == "worker_init_fn":
        loader = DataLoader(Grey(pipeline.sample), worker_init_fn=pipeline.worker_init_fn, **settings)
    else:
        loader = DataLoader(pipeline.dataset(Grey()), **settings)
    drawn = [*itertools.chain(*epochs(loader))]
    assert len(drawn) == 32
    assert len(set(drawn)) == 32


@pytest.mark.parametrize("workers", [0, 2])
def test_one_seed_reproduces_order_and_draws(workers):
    def run(seed):
        torch.manual_seed(int.from_bytes(os.urandom(4)))  # whatever went on before
        loader = fm.Pipeline(sample=noise(), seed=seed).loader(Grey(), batch_size=4, shuffle=True, num_workers=workers)
        return [(images, labels) for _ in range(2) for images, labels in loader]

    first, again, other = run(0), run(0), run(1)
    for (images, labels), (images2, labels2) in zip(first, again, strict=True):
        assert torch.equal(images, images2)
        assert torch.equal(labels, labels2)
    assert not any(torch.equal(a, b) for (a, _), (b, _) in zip(first, other, strict=True))
    assert [labels.tolist() for _, labels in first[:4]] != [labels.tolist() for _, labels in first[4:]]


def test_a_loader_made_anew_draws_anew_and_a_pipeline_made_anew_begins_anew():
    first, again = ([fm.Pipeline(sample=noise(), seed=0)] * 2, [fm.Pipeline(sample=noise(), seed=0)] * 2)
    loaders = [[pipeline.loader(Grey(), batch_size=4, shuffle=True) for pipeline in run] for run in (first, again)]
    (one, other), (one_again, other_again) = ([epochs(loader) for loader in run] for run in loaders)
    assert len({*itertools.chain(*one, *other)}) == 64
    assert (one_again, other_again) == (one, other)


def test_torch_s_seed_reproduces_what_has_none():
    def run(seed):
        torch.manual_seed(seed)
        pipeline = fm.Pipeline(sample=noise())
        return epochs(DataLoader(pipeline.dataset(Grey()), batch_size=4, num_workers=2, collate_fn=pipeline.collate))

    assert run(0) == run(0)
    assert run(0) != run(1)


def test_callables_that_draw_from_global_generators_are_seeded_too():
    def jitter(image):
        return image + np.float32(np.random.rand()) + torch.rand(()).item()

    def run(workers):
        pipeline = fm.Pipeline(sample=jitter, seed=0)
        return epochs(pipeline.loader(Grey(), batch_size=4, num_workers=workers))

    for workers in (0, 2):
        assert run(workers) == run(workers)
        assert len(set(itertools.chain(*run(workers)))) == 32


def test_without_workers_global_generators_are_left_alone():
    states = torch.get_rng_state(), np.random.get_state()[1].tolist()
    dataset = fm.Pipeline(sample=lambda image: image + np.random.rand() + torch.rand(()).item(), seed=0).dataset(Grey())
    assert not np.array_equal(dataset[0][0], dataset[0][0])
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]


@pytest.mark.slow
def test_it_can_be_sent_to_a_spawned_worker():
    pipeline = fm.Pipeline(sample=noise(), seed=0)
    loader = pipeline.loader(Grey(), batch_size=4, num_workers=2, multiprocessing_context=multiprocessing.get_context("spawn"))
    forked = fm.Pipeline(sample=noise(), seed=0).loader(Grey(), batch_size=4, num_workers=2)
    assert epochs(loader, 1) == epochs(forked, 1)
    assert len(pickle.loads(pickle.dumps(pipeline.dataset(Grey())))) == 16


@pytest.mark.parametrize("form", ["array", "PIL", "tensor"])
def test_items_of_all_forms_make_batches(form):
    array = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = {"array": array, "PIL": Image.fromarray(array), "tensor": torch.from_numpy(array).movedim(-1, 0)}[form]
    mask = np.arange(48).reshape(6, 8)
    for pipeline in (fm.Pipeline(), fm.Pipeline(sample=A.NoOp())):
        loader = pipeline.loader([(image, 1), (image, 2)], batch_size=2)
        images, labels = next(iter(loader))
        assert torch.equal(images, torch.from_numpy(array).movedim(-1, 0).float().div(255).expand(2, -1, -1, -1))
        assert labels.tolist() == [1, 2]
        masked = fm.Pipeline(sample=pipeline.sample, masks=1)
        images, masks = next(iter(masked.loader([(image, mask)] * 2, batch_size=2)))
        assert torch.equal(masks, torch.from_numpy(mask).expand(2, -1, -1))
        batch = next(iter(pipeline.loader([{"image": image, "mask": mask, "label": 3, "name": "x"}] * 2, batch_size=2)))
        assert batch["image"].shape == (2, 3, 6, 8)
        assert batch["mask"].dtype == torch.int64
        assert (batch["label"].tolist(), batch["name"]) == ([3, 3], ["x", "x"])


def test_a_tensor_data_set_goes_through():
    source = TensorDataset(torch.rand(4, 3, 6, 6), torch.arange(4))
    images, labels = next(iter(fm.Pipeline(sample=A.HorizontalFlip(p=1)).loader(source, batch_size=4)))
    assert torch.equal(images, source.tensors[0].flip(-1))
    assert labels.tolist() == [0, 1, 2, 3]


def test_images_of_several_sizes_in_a_batch_are_refused():
    items = [(np.zeros((6, 6, 3), np.uint8), 0), (np.zeros((6, 7, 3), np.uint8), 1)]
    with pytest.raises(fm.FeatmixError, match=r"images of one shape in a batch, got \(3, 6, 6\), \(3, 6, 7\)\. Crop or resize"):
        next(iter(fm.Pipeline().loader(items, batch_size=2)))


class Stream(IterableDataset):
    """Grey images with their numbers, each worker its own share."""

    def __init__(self, count=16):
        self.count = count

    def __iter__(self):
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        return ((np.full((6, 6, 3), 128, np.uint8), number) for number in range(first, self.count, step))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("persistent", [False, True])
def test_an_iterable_data_set_is_drawn_for_like_any_other(workers, persistent):
    def run(seed):
        torch.manual_seed(int.from_bytes(os.urandom(4)))
        settings = {"batch_size": 4, "num_workers": workers, "persistent_workers": persistent and workers > 0}
        loader = fm.Pipeline(sample=noise(), seed=seed).loader(Stream(), **settings)
        batches = [batch for _ in range(2) for batch in loader]
        assert sorted(label for _, labels in batches for label in labels.tolist()) == sorted([*range(16)] * 2)
        assert batches[0][0].shape == (4, 3, 6, 6)
        return [image.numpy().tobytes() for images, _ in batches for image in images]

    first = run(0)
    assert len(set(first)) == 32
    assert run(0) == first
    assert not set(run(1)) & set(first)


def test_an_iterable_data_set_has_the_length_that_its_source_has():
    class Counted(Stream):
        def __len__(self):
            return self.count

    dataset = fm.Pipeline().dataset(Counted(5))
    assert len(dataset) == 5
    assert isinstance(dataset, IterableDataset)
    assert "Counted" in repr(dataset)
    with pytest.raises(TypeError):
        len(fm.Pipeline().dataset(Stream()))


@pytest.mark.parametrize("source", [3, iter([])])
def test_only_data_sets_are_taken(source):
    with pytest.raises(fm.FeatmixError, match=r"Pipeline\.dataset: source: expected a data set.*empty in the second epoch"):
        fm.Pipeline().dataset(source)


def test_what_is_given_to_loader_goes_first():
    loader = fm.Pipeline(seed=0).loader(Grey(), batch_size=4, collate_fn=len, generator=None)
    assert list(loader) == [4, 4, 4, 4]
    assert loader.generator is None
