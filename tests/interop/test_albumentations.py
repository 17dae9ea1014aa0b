import pickle

import numpy as np
import pytest
import torch

from featmix import FeatmixError, normalizer

A = pytest.importorskip("albumentations")
from featmix.interop.albumentations import MomentExchange  # noqa: E402

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(40, 120, (12, 10, 4), np.uint8)
STYLE = RNG.integers(90, 200, (12, 10, 4), np.uint8)
SMALL = RNG.integers(90, 200, (5, 7, 4), np.uint8)
NORMS = ["in", "pono", "ln", "gn2", "gn-d2", "gpono2"]


def unit(image):
    return image.astype(np.float32) / 255


def exchanged(image, reference, norm="in", ratio=1.0, **settings):
    transform = MomentExchange(norm, blend_ratio=(ratio, ratio), p=1, **settings)
    return A.Compose([transform])(image=image, moment_metadata=[reference])["image"]


def of(image, norm):
    return normalizer(norm, layout="bhwc").moments(torch.from_numpy(image)[None])


def by_hand(image, reference, norm, ratio):
    """Per sample in float64, by the normalizers' own oracle."""
    made = normalizer(norm, layout="bhwc")
    x, other = image.astype(np.float64), reference.astype(np.float64)
    (mean, std), (new_mean, new_std) = made.oracle(x), made.oracle(other)
    return np.clip((1 - ratio) * x + ratio * ((x - mean) / std * new_std + new_mean), 0, 1)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_against_the_formula(norm, ratio):
    image, reference = unit(IMAGE), unit(STYLE)
    found = exchanged(image, reference, norm, ratio)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_hand(image, reference, norm, ratio), atol=2e-6)


@pytest.mark.parametrize("norm", ["in", "gn2"])
def test_moments_are_the_references(norm):
    reference = unit(SMALL)
    found, wanted = of(exchanged(unit(IMAGE), reference, norm), norm), of(reference, norm)
    torch.testing.assert_close(found.mean, wanted.mean, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.std, wanted.std, atol=1e-3, rtol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_uint8_is_float32_rounded(norm):
    found = exchanged(IMAGE, STYLE, norm)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found / 255, exchanged(unit(IMAGE), unit(STYLE), norm), atol=0.5 / 255 + 1e-6)
    assert np.array_equal(found, exchanged(IMAGE, unit(STYLE), norm))  # references of the other dtype


def test_references_of_another_size():
    import cv2

    resized = cv2.resize(unit(SMALL), dsize=(10, 12))
    np.testing.assert_allclose(exchanged(unit(IMAGE), unit(SMALL), "pono"), exchanged(unit(IMAGE), resized, "pono"), atol=1e-6)
    away = exchanged(unit(IMAGE), unit(SMALL), "in")  # moments per channel are those of the reference as it is
    assert not np.allclose(away, exchanged(unit(IMAGE), resized, "in"), atol=1e-3)
    pipeline = A.Compose([MomentExchange("gpono2", p=1)])
    for shape in ((3, 9, 4), (16, 2, 4)):
        image = RNG.integers(0, 255, shape, np.uint8)
        assert pipeline(image=image, moment_metadata=[SMALL])["image"].shape == shape


def test_grey_images():
    grey, style = IMAGE[..., 0].copy(), SMALL[..., :1].copy()
    assert exchanged(grey, style).shape == grey.shape
    assert exchanged(grey[..., None], style[..., 0]).shape == (12, 10, 1)
    assert np.array_equal(exchanged(grey, style, "pono"), grey)  # one channel has no moments per position


def test_what_is_not_an_image_stays():
    def run(transform):
        pipeline = A.Compose(
            [A.HorizontalFlip(p=0), transform],
            bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]),
            keypoint_params=A.KeypointParams("xy"),
        )
        mask = np.arange(120, dtype=np.uint8).reshape(12, 10)
        boxes = {"bboxes": [[1, 2, 5, 6]], "labels": [0], "keypoints": [(3, 4)]}
        return pipeline(image=IMAGE, mask=mask, masks=[mask, mask], **boxes, moment_metadata=[SMALL])

    before = IMAGE.copy()
    found, plain = run(MomentExchange("pono", p=1)), run(A.NoOp(p=1))
    assert np.array_equal(IMAGE, before)
    assert not np.array_equal(found.pop("image"), plain.pop("image"))
    assert found.pop("moment_metadata")[0] is SMALL
    assert found.keys() <= plain.keys()
    for key, value in found.items():
        assert np.array_equal(value, plain[key]), key


def test_images_and_volumes():
    pipeline = A.Compose([MomentExchange("in", blend_ratio=(1, 1), p=1)])
    out = pipeline(images=np.stack([IMAGE, STYLE]), moment_metadata=[SMALL])["images"]
    assert np.array_equal(out[1], exchanged(STYLE, SMALL))
    assert pipeline(volume=np.stack([IMAGE, STYLE]), moment_metadata=[SMALL])["volume"].shape == (2, 12, 10, 4)


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_saved_and_loaded(tmp_path, form):
    pipeline = A.Compose(
        [A.HorizontalFlip(p=0.5), MomentExchange("gn2", blend_ratio=(0.2, 0.7), metadata_key="s", eps=1e-4, p=0.8)]
    )
    A.save(pipeline, tmp_path / "it", data_format=form)
    loaded = A.load(tmp_path / "it", data_format=form)
    again = A.from_dict(A.to_dict(pipeline))
    for other in (loaded, again, pickle.loads(pickle.dumps(pipeline))):
        assert A.to_dict(other) == A.to_dict(pipeline)
        for made in (pipeline, other):
            made.set_random_seed(3)
        for _ in range(5):
            first, second = (made(image=IMAGE, s=[SMALL, STYLE])["image"] for made in (pipeline, other))
            assert np.array_equal(first, second)


def test_strengths_and_references_are_drawn():
    pipeline = A.Compose([MomentExchange(blend_ratio=(0.2, 0.6), p=1)], seed=0, save_applied_params=True)
    drawn = [pipeline(image=IMAGE, moment_metadata=[SMALL, STYLE])["applied_transforms"][0][1] for _ in range(200)]
    ratios = np.array([params["ratio"] for params in drawn])
    assert ratios.min() >= 0.2
    assert ratios.max() <= 0.6
    assert np.ptp(ratios) > 0.3
    assert {params["reference"].shape for params in drawn} == {SMALL.shape, STYLE.shape}
    idle = A.Compose([MomentExchange(p=0)])
    assert np.array_equal(idle(image=IMAGE, moment_metadata=[SMALL])["image"], IMAGE)


def test_flat_images():
    flat = np.full((6, 6, 3), 70, np.uint8)
    assert np.array_equal(exchanged(flat, np.full((3, 3, 3), 200, np.uint8)), np.full_like(flat, 200))
    assert exchanged(IMAGE[..., :3].copy(), flat).std() < 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"norm": "bn"}, "norm"),
        ({"norm": "no such"}, "normalizer"),
        ({"norm": 3}, "norm"),
        ({"eps": 0.0}, "eps"),
        ({"blend_ratio": (0.7, 0.2)}, "blend_ratio"),
        ({"blend_ratio": 0.5}, "blend_ratio"),
        ({"blend_ratio": (0, 2)}, "blend_ratio"),
        ({"metadata_key": ""}, "metadata_key"),
    ],
)
def test_settings_that_are_refused(settings, said):
    with pytest.raises(FeatmixError, match=said):
        MomentExchange(**settings)


@pytest.mark.parametrize(
    ("image", "references", "said"),
    [
        (IMAGE, [], "an empty one"),
        (IMAGE, SMALL, "ndarray"),
        (IMAGE, ["path"], "str"),
        (IMAGE, [SMALL.astype(np.float64)], "float64"),
        (IMAGE, [SMALL[..., :3]], "4 channels"),
        (IMAGE.astype(np.float32), [SMALL], "before normalizing"),
        (unit(IMAGE), [unit(SMALL) - 1], "before normalizing"),
        (IMAGE.astype(np.int32), [SMALL], "int32"),
    ],
)
def test_calls_that_are_refused(image, references, said):
    with pytest.raises(FeatmixError, match=said):
        MomentExchange(p=1)(image=image, moment_metadata=references)
    with pytest.raises(ValueError, match="moment_metadata"):  # albumentations' own refusal
        MomentExchange(p=1)(image=IMAGE)
    with pytest.raises(FeatmixError, match="3 divides"):
        exchanged(IMAGE, SMALL, "gn3")
