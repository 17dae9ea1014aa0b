import os
import stat

import pytest

import featmix as fm
from featmix.configuration import files
from featmix.configuration.plain import MOST_BYTES


def names_in(folder):
    return [path.name for path in folder.iterdir()]


def test_a_file_that_cannot_be_written_stays_as_it_is(tmp_path):
    path = tmp_path / "aug.yaml"
    fm.save(fm.MoEx(), path)
    before = path.read_bytes()
    with pytest.raises(fm.FeatmixError, match=r"aug\.yaml: batch: expected a function that is allowed"):
        fm.save(fm.Pipeline(batch=lambda images: images), path)
    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["aug.yaml"]


def test_a_crash_in_the_middle_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "aug.yaml"
    fm.save(fm.MoEx(), path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(fm.FeatmixError, match="a file that can be written, got No space left on device"):
        fm.save(fm.Mixup(), path)
    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["aug.yaml"]


def test_a_file_is_replaced_and_keeps_its_mode(tmp_path):
    path = tmp_path / "aug.yaml"
    umask = os.umask(0)
    os.umask(umask)
    fm.save(fm.MoEx(), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    path.chmod(0o600)
    fm.save(fm.Mixup(), path)
    assert isinstance(fm.load(str(path)), fm.Mixup)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_same_thing_makes_the_same_file(tmp_path):
    for name in ("a", "b"):
        fm.save({"input": fm.CutMix(p=0.5)}, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: \xff\xfe", "a file in UTF-8, got invalid start byte at byte 3"),
        ("strategy: {name: moex}".encode("utf-16"), "a file in UTF-8"),
        (b"#" * (MOST_BYTES + 1), "a file of at most 1024 KiB"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path, data, message):
    path = tmp_path / "aug.yaml"
    path.write_bytes(data)
    with pytest.raises(fm.FeatmixError, match=message):
        fm.load(path)


def test_a_file_of_the_largest_size_is_read(tmp_path):
    path = tmp_path / "aug.yaml"
    text = b"strategy: {name: moex} #"
    path.write_bytes(text + b"x" * (MOST_BYTES - len(text)))
    assert isinstance(fm.load(path), fm.MoEx)


@pytest.mark.parametrize("path", ["nowhere/aug.yaml", "."])
def test_where_there_is_no_file(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(fm.FeatmixError, match="a file that can be read"):
        fm.load(path)
    with pytest.raises(fm.FeatmixError, match="a file that can be written"):
        fm.save(fm.MoEx(), path)
    assert names_in(tmp_path) == []


def test_what_would_be_too_large_to_read_is_not_written(tmp_path):
    tree = fm.Compose([fm.At(f"layer{i}", fm.Mixup()) for i in range(260)])
    with pytest.raises(fm.FeatmixError, match="at most 500 dictionaries"):
        fm.save(tree, tmp_path / "aug.yaml")
    with pytest.raises(fm.FeatmixError, match="a configuration of at most 1024 KiB"):
        files.write_text(tmp_path / "aug.yaml", "x" * (MOST_BYTES + 1))
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("path", ["a\0b", 5, None, b"\xff\0"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(fm.FeatmixError, match=r"expected (the path of a file|a file that can be read)"):
        fm.load(path)
    with pytest.raises(fm.FeatmixError, match=r"expected (the path of a file|a file that can be written)"):
        fm.save(fm.MoEx(), path)
