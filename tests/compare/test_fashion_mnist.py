import gzip
import struct

import numpy as np
import pytest

from featmix.compare.fashion_mnist import DEBIAN_ROOT, read_fashion_mnist, read_idx
from featmix.errors import FeatmixError


def idx(array):
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("t10k", 10)):
        images, labels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8), np.arange(count, dtype=np.uint8) % 10
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))  # not gzipped: both are read
    return tmp_path


def test_reads_both_parts(root):
    source = read_fashion_mnist(root)
    assert source.grey.shape == (40, 28, 28)
    assert source.official_test.sum() == 10
    assert source.labels.dtype == np.int64
    assert len(source.classes) == 10
    trial = source.trial(0, "textured", limit=20)
    assert len(trial.train) == 60
    assert len(trial.unseen) == 10


def test_a_missing_file_names_the_package_and_the_option(tmp_path):
    with pytest.raises(FeatmixError, match=r"apt-get install dataset-fashion-mnist.*--root"):
        read_fashion_mnist(tmp_path)


def test_damaged_files_are_refused(root):
    path = root / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for damaged, message in (
        (whole[: len(whole) // 2], "readable IDX"),
        (b"no gzip", "readable IDX"),
        (gzip.compress(b"\0\0\x0d\3" + b"\0" * 12), "00 00 0d 03"),
        (gzip.compress(gzip.decompress(whole)[:-1]), "as many bytes"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(FeatmixError, match=message):
            read_idx(path, axes=3)


def test_labels_must_fit_the_images(root):
    (root / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(9, dtype=np.uint8)))
    with pytest.raises(FeatmixError, match="10 images, 9 labels"):
        read_fashion_mnist(root)


@pytest.mark.skipif(not DEBIAN_ROOT.exists(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_debian_package():
    source = read_fashion_mnist()
    assert source.grey.shape == (70000, 28, 28)
    assert source.official_test.sum() == 10000
    assert np.bincount(source.labels).tolist() == [7000] * 10
