"""Data sets that libraries keep on the disk."""

import sys

import numpy as np
import pytest
from PIL import Image

from featmix.compare.data import read
from featmix.compare.hf_data import Rows
from featmix.errors import FeatmixError
from tests.interop.real_torchvision import torchvision_or_skip


def idx(path, array):
    head = bytes((0, 0, 8, array.ndim)) + b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + array.tobytes())


def test_torchvision_reads_what_is_there_and_fetches_nothing(tmp_path, monkeypatch):
    torchvision_or_skip("torchvision.datasets")
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("something is downloaded"))
    with pytest.raises(FeatmixError, match=r"the files of MNIST in .*Fetch it once yourself: torchvision\.datasets\.MNIST"):
        read("torchvision:MNIST", root=tmp_path)
    for part, count in (("train", 12), ("t10k", 4)):
        idx(
            tmp_path / "MNIST" / "raw" / f"{part}-images-idx3-ubyte",
            np.arange(count * 28 * 28, dtype=np.uint8).reshape(-1, 28, 28),
        )
        idx(tmp_path / "MNIST" / "raw" / f"{part}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8) % 10)
    source = read("torchvision:MNIST", root=tmp_path)
    assert source.image_size == (28, 28)
    assert source.classes[3] == "3 - three"
    assert (len(source.trial(0, "").train), len(source.trial(0, "").seen)) == (12, 4)
    assert source.about.startswith("torchvision:MNIST: 16 images of 28 x 28, 10 classes (0 - zero, ")
    with pytest.raises(FeatmixError, match="Did you mean 'CIFAR10'"):
        read("torchvision:CIFAR11", root=tmp_path)
    with pytest.raises(FeatmixError, match="root: expected the folder"):
        read("torchvision:CIFAR10")


def test_without_torchvision_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(FeatmixError, match="expected torchvision to be installed"):
        read("torchvision:MNIST")


@pytest.fixture
def datasets():
    return pytest.importorskip("datasets")


def table(datasets, shades, **more):
    pictures = [Image.new("RGB", (6, 4), (shade, 0, 0)) for shade in shades]
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    columns = {"image": pictures, "label": [shade % 2 for shade in shades], **more}
    if "domain" in more:
        features["domain"] = datasets.Value("string")
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def test_hugging_face_with_splits(datasets, tmp_path):
    datasets.DatasetDict({"train": table(datasets, range(8)), "test": table(datasets, range(20, 24))}).save_to_disk(
        tmp_path / "d"
    )
    source = read(f"hf:{tmp_path / 'd'}")
    assert source.classes == ("cat", "dog")
    assert source.image_size == (4, 6)
    assert source.trial(0, "").seen.pixels[:, 0, 0, 0].tolist() == [20, 21, 22, 23]
    assert read(f"hf:{tmp_path / 'd'}", size=8).image_size == (8, 8)


def test_hugging_face_with_domains(datasets, tmp_path):
    table(datasets, range(8), domain=["a"] * 4 + ["b"] * 4).save_to_disk(tmp_path / "d")
    source = read(f"hf:{tmp_path / 'd'}")
    assert source.domains == ("a", "b")
    assert source.domain_labels.tolist() == [0] * 4 + [1] * 4


def test_images_that_are_elsewhere_are_not_fetched(datasets):
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    columns = {"image": [{"path": "https://example.com/a.png", "bytes": None}], "label": [0]}
    rows = Rows(datasets.Dataset.from_dict(columns, features=features), datasets)
    with pytest.raises(FeatmixError, match=r"an image in the data set, got one at https://example\.com/a\.png"):
        rows[0]


def test_hugging_face_without_what_is_needed(datasets, tmp_path):
    datasets.Dataset.from_dict({"text": ["a"], "label": [1]}).save_to_disk(tmp_path / "d")
    with pytest.raises(FeatmixError, match=r"one called image, or a single one of Image, got text \(Value\), label \(Value\)"):
        read(f"hf:{tmp_path / 'd'}")


def test_a_folder_that_is_none_of_hugging_face_is_refused(tmp_path):
    with pytest.raises(FeatmixError, match="a folder that save_to_disk wrote, got"):
        read(f"hf:{tmp_path}")


def test_without_datasets_it_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "state.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(FeatmixError, match=r"expected datasets to be installed.*featmix\[hf\]"):
        read(f"hf:{tmp_path}")
