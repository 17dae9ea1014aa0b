import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from featmix.compare.own_data import as_bytes, parts_of, read_dataset
from featmix.errors import FeatmixError

GREY = torch.arange(24, dtype=torch.uint8).view(24, 1, 1, 1).expand(24, 3, 4, 5).contiguous()


class Pictures:
    """As torchvision has them: PIL images, whole numbers, and names of classes."""

    classes = ("cat", "dog", "owl")

    def __init__(self, rows, **more):
        self.rows = list(rows)
        vars(self).update(more)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, number):
        return Image.new("L", (5, 4), self.rows[number]), self.rows[number] % 3


def source_of(given, size=None):
    return read_dataset(parts_of(given), "mine", size)


def test_one_data_set():
    source = source_of(Pictures(range(12)))
    assert source.classes == ("cat", "dog", "owl")
    assert source.held_out_choices == ("",)
    assert source.image_size == (4, 5)
    assert source.pixels[:, 0, 0, 0].tolist() == list(range(12))
    assert source.labels.tolist() == [n % 3 for n in range(12)]
    assert source_of(Pictures(range(12)), 8).image_size == (8, 8)


def test_a_pair_is_training_and_test():
    trial = source_of((Pictures(range(12)), Pictures(range(100, 106)))).trial(3, "")
    assert sorted(trial.train.pixels[:, 0, 0, 0].tolist()) == list(range(12))
    assert trial.seen.pixels[:, 0, 0, 0].tolist() == list(range(100, 106))
    split = source_of({"train": Pictures(range(12)), "validation": Pictures(range(6)), "test": Pictures(range(100, 103))})
    assert len(split.trial(0, "").seen) == 3
    assert len(split.labels) == 15


def test_domains_by_name():
    source = source_of({"photo": Pictures(range(6)), "art": Pictures(range(20, 26))})
    assert source.domains == ("photo", "art")
    assert source.domain_labels.tolist() == [0] * 6 + [1] * 6
    pair = (Pictures(range(20, 26)), Pictures(range(40, 43)))
    assert len(source_of({"photo": pair, "art": pair}).trial(0, "art").seen) == 3
    with pytest.raises(FeatmixError, match="training and test images of each domain, got no test images of 'photo'"):
        source_of({"photo": Pictures(range(6)), "art": pair})


@pytest.mark.parametrize(
    "given",
    [
        Pictures(range(12), domains=["a", "b"] * 6),
        [(image, n % 3, "ab"[n % 2]) for n, image in enumerate(GREY[:12])],
        [{"image": image, "label": n % 3, "domain": "ab"[n % 2]} for n, image in enumerate(GREY[:12])],
        Subset(Pictures(range(24), domains=["a", "b"] * 12), range(12)),
    ],
    ids=["attribute", "triples", "mappings", "subset"],
)
def test_domains_of_items(given):
    source = source_of(given)
    assert source.domains == ("a", "b")
    assert source.domain_labels.tolist() == [0, 1] * 6
    assert source.pixels[:, 0, 0, 0].tolist() == list(range(12))


def test_tensors_and_names_of_classes():
    assert source_of(TensorDataset(GREY, torch.arange(24) % 2)).classes == ("0", "1")
    assert source_of([(image, "bd"[n % 2]) for n, image in enumerate(GREY)]).classes == ("b", "d")
    assert source_of(ConcatDataset([Pictures(range(6)), Pictures(range(6, 12))])).labels.tolist() == [0, 1, 2] * 4


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGB", (5, 4), (51, 51, 51)),
        Image.new("RGBA", (5, 4), (51, 51, 51, 0)),
        np.full((4, 5), 51, np.uint8),
        np.full((4, 5, 3), 0.2),
        np.full((4, 5, 1), 51 * 257, np.uint16),
        torch.full((1, 4, 5), 0.2),
        torch.full((3, 4, 5), 51, dtype=torch.uint8),
    ],
)
def test_images_of_every_kind(image):
    assert as_bytes(image, "mine").tolist() == [[[51] * 5] * 4] * 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (7, "compare: data: expected a name, or a data set"),
        (iter([]), r"Read it into a list first: data=list\(dataset\)"),
        ((1, 2, 3), "a pair of data sets"),
        ([], "expected items"),
        ([(GREY[0], 0, 0, 0)], "item 0: expected items .*, got a tuple of 4"),
        ([("a.png", 0)], "image: expected a PIL image, an array or a tensor, got str"),
        ([(GREY[0].float() - 1, 0)], "values from -1 to -1. Leave normalization out"),
        ([(GREY[0].long(), 0)], "bytes, 16 bits, or floats"),
        ([(GREY[0, :2], 0)], r"1 or 3 channels.*got shape \(2, 4, 5\)"),
        ([(Image.new("I", (4, 4)), 0)], "mode 'I'"),
        ([(GREY[n, :, :, : 4 + n], n) for n in range(2)], "images of one size, got 4 x 4 and 4 x 5.*--size 32"),
        ([(image, 0.5) for image in GREY], "label: expected a class"),
        ([(image, torch.zeros(3)) for image in GREY], "label: expected a class"),
        (Pictures(range(24), classes=("cat",)), "label: expected one of 1 classes, got 1"),
        ({"a": Pictures(range(6)), "b": Pictures(range(6), classes=("x", "y", "z"))}, "the same classes in all parts"),
        (Pictures(range(3)), "at least 2 images per class and domain"),
        ([(image, 0) for image in GREY], "at least 2 classes, got only 0"),
        ((Pictures(range(3)), []), "training and test images of each domain"),
    ],
)
def test_what_is_refused(given, said):
    with pytest.raises(FeatmixError, match=said):
        source_of(given)


def test_a_data_set_that_draws_at_random_is_refused():
    class Noisy(Pictures):
        def __getitem__(self, number):
            return torch.rand(3, 4, 5), number % 3

    with pytest.raises(FeatmixError, match="the same image each time, got another one"):
        source_of(Noisy(range(12)))


def test_more_than_fits_into_memory_is_refused_before_it_is_read(monkeypatch):
    class Endless(Pictures):
        def __len__(self):
            return 10**12

    monkeypatch.setattr("featmix.compare.photos.available_memory", lambda: 2**30)
    with pytest.raises(FeatmixError, match="images that fit into memory, got 1000000000000 of 4 x 5"):
        source_of(Endless(range(12)))


def test_the_fingerprint_follows_pixels_labels_and_splits():
    one, same = (source_of(Pictures(range(12))).fingerprint for _ in range(2))
    others = [
        source_of(Pictures(range(1, 13))).fingerprint,
        source_of(Pictures(range(12), classes=("x", "y", "z"))).fingerprint,
        source_of((Pictures(range(6)), Pictures(range(6, 12)))).fingerprint,
    ]
    assert one == same
    assert len({one, *others}) == 4
