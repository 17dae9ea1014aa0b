import os
import sys

import numpy as np
import pytest
import torch
from kornia import augmentation as K
from PIL import Image
from torch import nn

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A

import featmix as fm
from featmix import schedule

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
NET = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))


def shown(figure):
    """What a picture holds: titles and images, before and after."""
    axes = figure.axes
    half = len(axes) // 2
    titles = [axis.get_title() for axis in axes]
    pictures = [np.asarray(axis.get_images()[0].get_array()) for axis in axes]
    return titles[:half], titles[half:], pictures[:half], pictures[half:]


def test_before_and_after_with_label_shares(tmp_path):
    pipeline = fm.Pipeline(mix={"input": fm.Mixup(), "2": fm.MoEx(lam=0.75)})
    figure = pipeline.preview(torch.from_numpy(IMAGES).movedim(-1, 1) / 255, [0, 1, 2, 1], classes=["cat", "dog", "hen"])
    before, after, originals, mixed = shown(figure)
    assert before == ["cat", "dog", "hen", "dog"]
    for title in after:
        shares = dict(reversed(line.split()) for line in title.splitlines())
        assert set(shares) <= {"cat", "dog", "hen"}
        assert sum(map(float, shares.values())) == pytest.approx(1, abs=0.02)
    assert np.allclose(originals[0], IMAGES[0] / 255)
    assert not np.allclose(originals[0], mixed[0])
    figure.savefig(tmp_path / "preview.png")
    assert Image.open(tmp_path / "preview.png").size[0] > 100


def test_all_parts_are_shown_and_nothing_is_touched():
    sample = A.Compose([A.HorizontalFlip(p=1), A.GaussNoise(p=0.5)], seed=0)
    pipeline = fm.Pipeline(sample=sample, batch=K.RandomVerticalFlip(p=1.0), seed=0)
    ahead = A.Compose([A.HorizontalFlip(p=1), A.GaussNoise(p=0.5)], seed=0)
    state = torch.get_rng_state()
    _, after, originals, moved = shown(pipeline.preview(list(IMAGES)))
    assert after == ["image 0", "image 1", "image 2", "image 3"]
    close = [np.allclose(b[::-1, ::-1], a, atol=1e-6) for a, b in zip(originals, moved, strict=True)]
    assert any(close)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(sample(image=IMAGES[0])["image"], ahead(image=IMAGES[0])["image"])  # its stream has not moved


def test_the_same_seed_shows_the_same_and_another_another():
    pipeline = fm.Pipeline(sample=A.GaussNoise(p=1), batch=K.RandomGaussianNoise(p=1.0), mix={"input": fm.CutMix()})
    first, again, other = (shown(pipeline.preview(list(IMAGES), seed=seed)) for seed in (0, 0, 1))
    assert np.array_equal(first[3], again[3])
    assert not np.array_equal(first[3], other[3])


def test_a_hidden_box_needs_the_model_and_leaves_it_as_it_was():
    pipeline = fm.Pipeline(mix={"1": fm.CutMix(), "input": fm.Mixup()})
    with pytest.raises(fm.FeatmixError, match=r"model: expected the shape of the features at 1.*Pass model="):
        pipeline.preview(list(IMAGES), [0, 1, 2, 3])
    _, after, *_ = shown(pipeline.preview(list(IMAGES), [0, 1, 2, 3], model=NET))
    assert any("\n" in title for title in after)
    assert not NET._forward_hooks
    assert NET.training


def test_schedules_are_shown_where_training_is():
    pipeline = fm.Pipeline(mix={"input": fm.MoEx("in", p=schedule.switch_off(1.0, at=0.9))})
    for progress, mixed in [(0.5, True), (1.0, False)]:
        _, after, *_ = shown(pipeline.preview(list(IMAGES), [0, 1, 2, 3], progress=progress))
        assert any("\n" in title for title in after) is mixed


def test_images_of_all_forms():
    for images in ([Image.fromarray(image) for image in IMAGES], [(image, 3) for image in IMAGES], list(IMAGES[..., :1])):
        assert len(shown(fm.Pipeline(mix={"input": fm.CutMix()}).preview(images))[0]) == 4
    assert len(shown(fm.Pipeline().preview(torch.randn(1, 2, 8, 8)))[0]) == 1


def test_nothing_to_show_is_refused():
    with pytest.raises(fm.FeatmixError, match=r"Pipeline\.preview: images: expected at least one"):
        fm.Pipeline().preview([])


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(fm.FeatmixError, match=r"Pipeline\.preview: expected matplotlib.*featmix\[pipeline\]"):
        fm.Pipeline().preview(list(IMAGES))


def test_items_with_masks_and_several_images_are_shown_by_their_first_image():
    def flip(left, right, mask):
        return left[:, ::-1], right, mask

    image = np.random.default_rng(0).random((6, 8, 3)).astype(np.float32)
    pipeline = fm.Pipeline(sample=flip, images=(0, 1), masks=3)
    figure = pipeline.preview([(image, image, 5, np.zeros((6, 8)))] * 2)
    shown = [axis.images[0].get_array() for axis in figure.axes]
    assert np.allclose(shown[0], image)
    assert np.allclose(shown[2], image[:, ::-1])
