import os

import numpy as np
import pytest
import torch
from kornia import augmentation as K
from PIL import Image

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A
from albumentations.pytorch import ToTensorV2

import featmix as fm
from featmix.pipeline.names import Names, names_for
from featmix.pipeline.sample import apply_to_item

RNG = np.random.default_rng(0)
ARRAY = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
LABELS = RNG.integers(0, 5, (6, 8))
FLIPPED = ARRAY[:, ::-1]
MASK, TWO = Names(masks=(1,)), Names(images=(0, 1))


def channels_last(x):
    return x.movedim(0, -1).numpy() if isinstance(x, torch.Tensor) else np.asarray(x)


FORMS = {"array": ARRAY, "tensor": torch.from_numpy(ARRAY).movedim(-1, 0), "PIL": Image.fromarray(ARRAY)}


@pytest.mark.parametrize("image", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    "flip",
    [
        A.HorizontalFlip(p=1),
        A.Compose([A.HorizontalFlip(p=1)]),
        A.Compose([A.HorizontalFlip(p=1), ToTensorV2()]),
        K.RandomHorizontalFlip(p=1.0),
        lambda image: np.asarray(image)[:, ::-1] if not isinstance(image, torch.Tensor) else image.flip(-1),
    ],
    ids=["albumentations", "composed", "to tensor", "kornia", "callable"],
)
def test_every_kind_of_transform_takes_every_kind_of_image(image, flip):
    moved, label = apply_to_item(flip, (image, 3))
    assert label == 3
    moved = channels_last(moved)
    assert np.array_equal(moved if moved.dtype == np.uint8 else np.rint(moved * 255).astype(np.uint8), FLIPPED)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64, np.uint16, np.float32, bool])
@pytest.mark.parametrize("transform", [A.Affine(rotate=90, p=1), A.HorizontalFlip(p=1), A.RandomCrop(4, 4)])
def test_masks_go_where_the_image_goes_and_keep_their_values(dtype, transform):
    square = ARRAY[:, :6]
    values = (square[..., 0] % 5).astype(dtype)
    item = (np.repeat(square[..., :1], 3, axis=2), values)
    image, mask = apply_to_item(transform, item, MASK)
    inside = image[..., 0] > 0
    assert mask.dtype == dtype
    assert np.array_equal(mask[inside], (image[..., 0][inside] % 5).astype(dtype)) or isinstance(transform, A.Affine)
    assert set(np.unique(mask)) <= set(np.unique(values)) | {dtype(0)}


def test_ids_above_a_byte_and_below_zero_survive():
    for values in (LABELS - 1, LABELS * 1000, LABELS * 100_000, np.where(LABELS == 0, -100, LABELS)):
        _, mask = apply_to_item(A.HorizontalFlip(p=1), (ARRAY, values), MASK)
        assert mask.dtype == np.int64
        assert np.array_equal(mask, values[:, ::-1])


def test_several_masks_move_together():
    item = (ARRAY, 7, LABELS, torch.from_numpy(LABELS * 2))
    image, label, first, second = apply_to_item(A.HorizontalFlip(p=1), item, Names(masks=(2, 3)))
    assert isinstance(second, torch.Tensor)  # as it was
    assert label == 7
    assert np.array_equal(image, FLIPPED)
    assert np.array_equal(first * 2, second)


def test_albumentations_sees_all_of_a_dictionary():
    compose = A.Compose([A.HorizontalFlip(p=1)], bbox_params=A.BboxParams("pascal_voc", label_fields=["kinds"]))
    item = {"image": Image.fromarray(ARRAY), "mask": LABELS, "bboxes": [[0, 0, 2, 3]], "kinds": ["cat"], "id": "x"}
    done = apply_to_item(compose, item)
    assert np.array_equal(done["image"], FLIPPED)
    assert np.array_equal(done["mask"], LABELS[:, ::-1])
    assert np.allclose(done["bboxes"], [[6, 0, 8, 3]])
    assert (done["kinds"], done["id"]) == (["cat"], "x")
    assert set(item) == {"image", "mask", "bboxes", "kinds", "id"}
    assert isinstance(item["image"], Image.Image)


def test_a_callable_moves_the_image_and_its_masks_in_one_call():
    def crop(image, mask):
        return image[:3], mask[:3]

    image, mask = apply_to_item(crop, (ARRAY, LABELS), MASK)
    assert (image.shape, mask.shape) == ((3, 8, 3), (3, 8))
    with pytest.raises(fm.FeatmixError, match=r"Pipeline: sample: expected an image and 1 mask\(s\) back"):
        apply_to_item(lambda image, mask: image, (ARRAY, LABELS), MASK)


def test_kornia_moves_masks_of_one_sample():
    image, mask = apply_to_item(K.RandomHorizontalFlip(p=1.0), (ARRAY, LABELS), MASK)
    assert image.shape == (3, 6, 8)
    assert torch.equal(mask, torch.from_numpy(LABELS[:, ::-1].copy()))


def test_items_are_not_changed():
    before = ARRAY.copy(), LABELS.copy()
    apply_to_item(A.Compose([A.Affine(rotate=30, p=1), A.GaussNoise(p=1)]), (ARRAY, LABELS), MASK)
    assert np.array_equal(ARRAY, before[0])
    assert np.array_equal(LABELS, before[1])


TARGETS = {"image2": "image"}
JOINT = {
    "albumentations": A.Compose([A.Affine(rotate=(-90, 90), p=1), A.GaussNoise(p=0)], additional_targets=TARGETS),
    "kornia": K.RandomAffine((-90.0, 90.0), p=1.0),
    "kornia's container": K.AugmentationSequential(K.RandomAffine((-90.0, 90.0), p=1.0), K.ColorJiggle(0.5, 0.5, p=1.0)),
    "callable": lambda one, other: (np.rot90(one), np.rot90(other)),
}
SQUARE = ARRAY[:, :6]


@pytest.mark.parametrize("transform", JOINT.values(), ids=JOINT)
@pytest.mark.parametrize("form", [np.asarray, Image.fromarray, lambda a: torch.from_numpy(a.copy()).movedim(-1, 0)])
def test_several_images_are_moved_by_one_draw(transform, form):
    if callable(transform) and isinstance(form(SQUARE), Image.Image) and not hasattr(transform, "p"):
        form = np.asarray
    tuple_item, mapping = (form(SQUARE), form(SQUARE), 3), {"image": form(SQUARE), "image2": form(SQUARE), "label": 3}
    one, other, label = apply_to_item(transform, tuple_item, TWO)
    assert label == 3
    assert np.array_equal(np.asarray(one), np.asarray(other))
    assert not np.array_equal(channels_last(one), SQUARE)
    done = apply_to_item(transform, mapping, names_for(("image", "image2"), None, transform))
    assert set(done) == set(mapping)
    assert np.array_equal(np.asarray(done["image"]), np.asarray(done["image2"]))
    assert type(one) is type(other)


def test_several_images_and_masks_of_any_name_move_together():
    names = Names(images=("left", "right"), masks=("seg", "edges"))
    item = {"left": ARRAY, "right": ARRAY + 1, "seg": LABELS, "edges": LABELS * 2, "id": "x"}
    flips = (
        A.Compose([A.HorizontalFlip(p=1)], additional_targets={"right": "image"}),
        A.Compose([A.HorizontalFlip(p=1)], additional_targets={"right": "image", "edges": "mask"}),
    )
    for flip in flips:
        done = apply_to_item(flip, item, names)
        assert set(done) == set(item)
        assert np.array_equal(done["left"], FLIPPED)
        assert np.array_equal(done["right"], FLIPPED + 1)
        assert np.array_equal(done["seg"] * 2, done["edges"])
        assert np.array_equal(done["seg"], LABELS[:, ::-1])


def test_what_albumentations_was_told_of_is_named():
    flip = A.Compose([A.HorizontalFlip(p=1)], additional_targets={"night": "image", "depth": "mask"})
    item = {"image": ARRAY, "night": ARRAY + 1, "depth": LABELS.astype(np.float32), "label": 2}
    batch = next(iter(fm.Pipeline(sample=flip).loader([item], batch_size=1)))
    assert torch.equal(batch["night"][0], torch.from_numpy(FLIPPED + 1).movedim(-1, 0).float() / 255)
    assert torch.equal(batch["depth"][0], torch.from_numpy(LABELS[:, ::-1].astype(np.float32)))


def test_several_images_are_refused_where_they_would_be_moved_apart():
    flip = A.Compose([A.HorizontalFlip()])
    with pytest.raises(fm.FeatmixError, match=r"sample: expected a transform that knows of several.*{'image2': 'image'}"):
        apply_to_item(flip, (ARRAY, ARRAY), TWO)
    with pytest.raises(fm.FeatmixError, match=r"additional_targets={'right': 'image'}"):
        apply_to_item(flip, {"left": ARRAY, "right": ARRAY}, Names(images=("left", "right")))
    with pytest.raises(fm.FeatmixError, match="images of one shape, which kornia moves alike"):
        apply_to_item(K.RandomAffine(10.0), (ARRAY, SQUARE), TWO)
    with pytest.raises(fm.FeatmixError, match="expected 2 images and 0 mask"):
        apply_to_item(lambda one, other: one, (ARRAY, ARRAY), TWO)
    with pytest.raises(fm.FeatmixError, match=r"no other entry called \['image'\]"):
        apply_to_item(flip, {"left": ARRAY, "image": 3}, Names(images=("left",)))


def test_tensors_of_many_channels_stay_tensors():
    x = torch.rand(13, 6, 8)
    moved = apply_to_item(A.HorizontalFlip(p=1), x)
    assert torch.equal(moved, x.flip(-1))


def test_16_bits_survive_albumentations():
    values = (np.arange(48) * 1000).astype(np.uint16).reshape(6, 8)
    images = fm.Pipeline(sample=A.HorizontalFlip(p=1)).loader([Image.fromarray(values)], batch_size=1)
    assert torch.equal(next(iter(images))[0, 0], torch.from_numpy(values[:, ::-1].astype(np.float32) / np.float32(65535)))
