import os
import stat

import numpy as np
import pytest
import torch
from PIL import Image

from featmix.errors import FeatmixError
from featmix.support import files


def test_a_file_is_replaced_and_keeps_its_mode(tmp_path):
    path = tmp_path / "out.txt"
    files.write(path, "ä")
    assert path.read_bytes() == "ä".encode()
    path.chmod(0o600)
    files.write(str(path), b"new\r\n")
    assert path.read_bytes() == b"new\r\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fails", ["fsync", "chmod"])
def test_a_crash_in_the_middle_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, fails):
    path = tmp_path / "out.txt"
    files.write(path, "old")

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, fails, fail)
    with pytest.raises(OSError, match="No space left"):
        files.write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.write(tmp_path / "nowhere" / "out.txt", "new")


def test_pictures_are_told_by_their_names(tmp_path):
    for name in ("a.png", "b.JPEG", ".c.png", "d.txt"):
        (tmp_path / name).touch()
    (tmp_path / "e.png").mkdir()
    assert sorted(path.name for path in tmp_path.iterdir() if files.is_picture(path)) == ["a.png", "b.JPEG"]


def test_pictures_are_read_upright_in_colour(tmp_path):
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    image = Image.fromarray(pixels)
    turned = image.getexif()
    turned[0x0112] = 3  # upside down
    image.save(tmp_path / "a.png", exif=turned)
    found = files.read_picture(tmp_path / "a.png", subject="me", argument="images")
    assert torch.equal(found, torch.from_numpy(pixels[::-1, ::-1].copy()).movedim(-1, 0))
    (tmp_path / "bad.png").write_bytes(b"\x89PNG but no more")
    with pytest.raises(FeatmixError, match=r"me: images: expected pictures that can be read, got .*bad\.png"):
        files.read_picture(tmp_path / "bad.png", subject="me", argument="images")


def test_resizing_is_that_of_pillow():
    image = torch.randint(256, (3, 9, 7), dtype=torch.uint8)
    wanted = np.array(Image.fromarray(image.movedim(0, -1).numpy()).resize((5, 5), Image.Resampling.BILINEAR))
    assert torch.equal(files.resized(image, 5), torch.from_numpy(wanted).movedim(-1, 0))
    assert files.resized(image[0], 5).shape == (5, 5)
    assert files.resized(image[:, :7], 7) is not image
    square = image[:, :7, :7]
    assert files.resized(square, 7) is square
