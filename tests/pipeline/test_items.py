from collections import namedtuple

import numpy as np
import pytest
import torch
from PIL import Image

import featmix as fm
from featmix.pipeline.items import as_array, as_float_image, as_mask, take_apart

Pair = namedtuple("Pair", "image label")
ARRAY = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
TENSOR = torch.from_numpy(ARRAY).movedim(-1, 0)
PICTURE = Image.fromarray(ARRAY)


@pytest.mark.parametrize("image", [ARRAY, TENSOR, PICTURE], ids=["array", "tensor", "PIL"])
def test_an_image_is_found_and_put_back(image):
    for item, masks in [
        (image, 0),
        ((image, 3), 0),
        ([image, torch.tensor(3)], 0),
        (Pair(image, "cat"), 0),
        ((image, np.zeros((4, 5))), 1),
        ((image, 3, torch.zeros(2, 4, 5), Image.new("L", (5, 4))), 2),
        ((image, np.zeros(5)), 0),  # a label as a vector
        ((image, np.zeros((7, 5))), 0),  # boxes
        ({"image": image, "label": 3}, 0),
        ({"image": image, "mask": np.zeros((4, 5)), "id": "x"}, 1),
        ({"image": image, "mask": None}, 0),
    ]:
        taken = take_apart(item)
        assert taken.image is image
        assert len(taken.masks) == masks
        new = [f"mask {i}" for i in range(masks)]
        again = taken.put_back("new", new)
        assert type(again) is (str if item is image else type(item))
        if isinstance(item, dict):
            assert again == {**item, "image": "new", **({"mask": "mask 0"} if masks else {})}
        elif item is not image:
            assert again[0] == "new"
            assert [value for value in again if isinstance(value, str) and value.startswith("mask")] == new


@pytest.mark.parametrize(
    ("item", "got"),
    [
        (3, "int"),
        ("cat.png", "str"),
        ((), "a tuple that begins with nothing"),
        ((3, ARRAY), "a tuple that begins with int"),
        ({"picture": ARRAY}, "a dictionary of \\['picture'\\]"),
        ((torch.zeros(4, 5), 1), "a tuple that begins with Tensor"),
        (torch.zeros(2, 3, 4, 5), "Tensor"),
    ],
)
def test_what_holds_no_image_is_refused(item, got):
    with pytest.raises(fm.FeatmixError, match=f"Pipeline: item: expected an image.*got {got}"):
        take_apart(item)


def test_images_become_floating_channels_first():
    for value in (ARRAY, TENSOR, PICTURE):
        x = as_float_image(value)
        assert x.dtype == torch.float32
        assert torch.equal(x, TENSOR.float() / 255)
    assert as_float_image(ARRAY[..., 0]).shape == (1, 4, 5)
    assert as_float_image(Image.new("L", (5, 4))).shape == (1, 4, 5)
    assert as_float_image(Image.new("RGBA", (5, 4))).shape == (3, 4, 5)
    assert as_float_image(PICTURE.convert("P")).shape == (3, 4, 5)
    assert float(as_float_image(np.full((4, 5), 65535, np.uint16)).max()) == 1
    assert as_float_image(ARRAY.astype(np.float64)).dtype == torch.float32
    floats = TENSOR.half()
    assert as_float_image(floats) is floats
    assert as_float_image(ARRAY[::-1, ::-1]).is_contiguous()


def test_integers_of_unknown_range_are_refused():
    with pytest.raises(fm.FeatmixError, match=r"Pipeline\.collate: image: expected bytes or floats, got torch\.int32"):
        as_float_image(ARRAY.astype(np.int32))


@pytest.mark.parametrize(
    ("mask", "dtype", "shape"),
    [
        (np.zeros((4, 5), np.uint8), torch.int64, (4, 5)),
        (np.zeros((4, 5, 2), np.int32), torch.int64, (2, 4, 5)),
        (np.zeros((4, 5), np.float64), torch.float32, (4, 5)),
        (np.zeros((4, 5), bool), torch.bool, (4, 5)),
        (torch.zeros(4, 5, dtype=torch.int32), torch.int64, (4, 5)),
        (torch.zeros(2, 4, 5).half(), torch.float16, (2, 4, 5)),
        (Image.new("P", (5, 4)), torch.int64, (4, 5)),
    ],
)
def test_masks_become_tensors(mask, dtype, shape):
    assert as_mask(mask).dtype == dtype
    assert as_mask(mask).shape == shape


def test_palettes_of_masks_are_indices():
    picture = Image.fromarray(np.array([[0, 3], [7, 1]], np.uint8), mode="P")
    picture.putpalette([255 - i for i in range(256) for _ in range(3)])
    assert as_array(picture, image=False).tolist() == [[0, 3], [7, 1]]
