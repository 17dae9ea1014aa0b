import numpy as np
import pytest
from PIL import Image

from featmix.compare.data import read, usual
from featmix.compare.folder import read_folder
from featmix.errors import FeatmixError


def fill(folder, count, *, suffix=".png", size=(20, 10), mode="RGB", value=100):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new(mode, size, value if mode == "L" else (value,) * len(mode)).save(folder / f"{number}{suffix}")


def test_class_folders_are_one_domain(tmp_path):
    fill(tmp_path / "cat", 3, suffix=".jpg")
    fill(tmp_path / "dog", 4, mode="L", value=200)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    source = read_folder(tmp_path, 16)
    assert source.classes == ("cat", "dog")
    assert len(source.domains) == 1
    assert source.held_out_choices == ("",)
    assert source.pixels.shape == (7, 3, 16, 16)
    assert source.labels.tolist() == [0] * 3 + [1] * 4
    assert source.pixels[5].min() == source.pixels[5].max() == 200


def test_domain_folders_as_pacs_has_them(tmp_path):
    for domain in ("photo", "sketch"):
        fill(tmp_path / domain / "dog", 3)
        fill(tmp_path / domain / "horse", 2)
    fill(tmp_path / "sketch" / "only here", 2)
    source = read_folder(tmp_path, 8)
    assert source.domains == ("photo", "sketch")
    assert source.classes == ("dog", "horse", "only here")
    assert np.bincount(source.domain_labels).tolist() == [5, 7]
    assert len(source.trial(0, "sketch").unseen) == 7


def test_transparent_and_palette_images_are_read(tmp_path):
    fill(tmp_path / "a", 2, mode="RGBA")
    fill(tmp_path / "b", 2, suffix=".gif")
    assert read_folder(tmp_path, 8).pixels.shape == (4, 3, 8, 8)


def test_corrupt_images_are_left_out_named_and_counted(tmp_path):
    fill(tmp_path / "a", 3)
    fill(tmp_path / "b", 3)
    whole = (tmp_path / "b" / "1.png").read_bytes()
    (tmp_path / "a" / "0.png").write_bytes(b"not an image")
    (tmp_path / "b" / "1.png").write_bytes(whole[: len(whole) // 2])
    source = read_folder(tmp_path, 8)
    assert len(source.labels) == len(source.pixels) == 4
    note = next(note for note in source.notes if "cannot be read" in note)
    assert note.startswith("2 image(s) that cannot be read left out: a/0.png (")
    assert "b/1.png" in note
    for path in (*tmp_path.glob("a/*"), *tmp_path.glob("b/*")):
        path.write_bytes(b"nothing")
    with pytest.raises(FeatmixError, match="images that can be read"):
        read_folder(tmp_path, 8)


def test_layouts_that_are_refused(tmp_path):
    with pytest.raises(FeatmixError, match="no folder"):
        read_folder(tmp_path / "missing", 8)
    with pytest.raises(FeatmixError, match="without images"):
        read_folder(tmp_path, 8)
    fill(tmp_path / "a", 2)
    with pytest.raises(FeatmixError, match="at least 2 classes"):
        read_folder(tmp_path, 8)
    fill(tmp_path / "b", 1)
    with pytest.raises(FeatmixError, match="1 in class 'b'"):
        read_folder(tmp_path, 8)
    fill(tmp_path / "c" / "deeper", 2)
    with pytest.raises(FeatmixError, match="one layout"):
        read_folder(tmp_path, 8)


def test_the_fingerprint_follows_the_files(tmp_path):
    fill(tmp_path / "a", 2)
    fill(tmp_path / "b", 2)
    before = read_folder(tmp_path, 8).fingerprint
    assert read_folder(tmp_path, 8).fingerprint == before
    fill(tmp_path / "b", 3)
    assert read_folder(tmp_path, 8).fingerprint != before


def test_data_sets_by_name(tmp_path):
    fill(tmp_path / "a", 2)
    fill(tmp_path / "b", 2)
    assert read(f"folder:{tmp_path}").image_size == (32, 32)
    assert read(f"folder:{tmp_path}", size=12).image_size == (12, 12)
    for name, message in (("digit", "'digits'"), ("folder", "folder:PATH"), ("digits:x", "one of"), ("folder:", "one of")):
        with pytest.raises(FeatmixError, match=message):
            usual(name)
    with pytest.raises(FeatmixError, match="root"):
        read("digits", root=tmp_path)
    with pytest.raises(FeatmixError, match="size"):
        read("digits", size=12)
