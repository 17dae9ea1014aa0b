import numpy as np
import pytest
import torch
from PIL import Image

from featmix.errors import FeatmixError
from featmix.show import from_data, from_files


@pytest.fixture
def folder(tmp_path):
    """Five pictures: two in folders, one of another size."""
    for number, name in enumerate(["a.png", "b.JPG", "cats/one.png", "dogs/two.png", "wide.png", "cats/deep/no.png"]):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + 4 * (name == "wide.png"), 20), (40 * number, 0, 0)).save(path)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_text("no picture")
    return tmp_path


def same(first, second):
    return len(first.images) == len(second.images) and all(map(torch.equal, first.images, second.images))


def test_digits_of_all_domains():
    samples = from_data("digits", count=40, seed=0)
    assert {image.shape for image in samples.images} == {(3, 32, 32)}
    assert samples.images[0].dtype == torch.uint8
    assert samples.classes == tuple("0123456789")
    grey = [torch.equal(image[0], image[1]) for image in samples.images]
    assert 0 < sum(grey) < 40
    assert same(samples, from_data("digits", count=40, seed=0))
    assert not same(samples, from_data("digits", count=40, seed=1))


def test_a_folder_of_classes(tmp_path):
    for name, color in (("cat", 250), ("dog", 5)):
        for number in range(4):
            path = tmp_path / name / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (9, 9), (color, color, color)).save(path)
    samples = from_data(f"folder:{tmp_path}", count=4, seed=0, size=16)
    assert {image.shape for image in samples.images} == {(3, 16, 16)}
    for image, label in zip(samples.images, samples.labels.tolist(), strict=True):
        assert samples.classes[label] == ("cat" if image.min() > 200 else "dog")


def test_too_few_images_and_unknown_data_are_refused():
    with pytest.raises(FeatmixError, match=r"show: count: expected at most the \d+ images of digits, got 9999"):
        from_data("digits", count=9999, seed=0)
    with pytest.raises(FeatmixError, match="Did you mean 'digits'"):
        from_data("digts", count=2, seed=0)


def test_pictures_are_called_by_file_or_folder(folder):
    samples = from_files([folder], count=9, seed=0)
    assert [samples.classes[label] for label in samples.labels] == ["a", "b", "cats", "dogs", "wide"]
    assert {image.shape for image in samples.images} == {(3, 128, 128)}  # of unlike sizes: squares
    assert [int(image[0].float().mean().round()) for image in samples.images][2:] == [80, 120, 160]


def test_pictures_of_one_size_stay_as_they_are(folder):
    files = [folder / "a.png", folder / "cats"]
    assert {image.shape for image in from_files(files, count=5, seed=0).images} == {(3, 20, 20)}
    assert {image.shape for image in from_files(files, count=5, seed=0, size=8).images} == {(3, 8, 8)}
    raw = from_files([folder], count=5, seed=0, as_they_are=True)
    assert {tuple(image.shape) for image in raw.images} == {(3, 20, 20), (3, 20, 24)}


def test_a_few_of_many(folder):
    few = from_files([folder], count=2, seed=0)
    assert len(few.images) == len(few.labels) == 2
    drawn = {tuple(from_files([folder], count=2, seed=seed).classes) for seed in range(20)}
    assert len(drawn) > 2


def test_grey_and_transparent_pictures_become_rgb(tmp_path):
    Image.fromarray(np.full((4, 4), 7, np.uint8)).save(tmp_path / "grey.png")
    Image.new("RGBA", (4, 4), (1, 2, 3, 0)).save(tmp_path / "clear.png")
    clear, grey = from_files([tmp_path], count=2, seed=0).images
    assert grey.eq(7).all()
    assert clear[:, 0, 0].tolist() == [1, 2, 3]


def test_what_is_no_picture_is_refused(folder):
    (folder / "bad.png").write_bytes(b"\x89PNG but no more")
    with pytest.raises(FeatmixError, match=r"show: images: expected pictures that can be read, got .*bad\.png"):
        from_files([folder], count=9, seed=0)
    with pytest.raises(FeatmixError, match="which does not exist"):
        from_files([folder / "nowhere"], count=2, seed=0)
    (folder / "empty").mkdir()
    with pytest.raises(FeatmixError, match=r"show: images: expected pictures, got none in .*empty\. Files end in .*\.png"):
        from_files([folder / "empty"], count=2, seed=0)


def test_files_of_one_name_are_told_apart(tmp_path):
    paths = [tmp_path / way for way in ("a/001.png", "b/001.png", "b/002.png")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    assert from_files(paths[1:], count=2, seed=0).classes == ("001", "002")
    assert from_files(paths, count=3, seed=0).classes == ("a/001.png", "b/001.png", "b/002.png")
