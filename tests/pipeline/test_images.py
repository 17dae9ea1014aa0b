import numpy as np
import pytest
import torch
from PIL import Image

import featmix as fm
from featmix.pipeline.images import as_array, as_float_image, as_mask, check_axes

ARRAY = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
TENSOR = torch.from_numpy(ARRAY).movedim(-1, 0)
PICTURE = Image.fromarray(ARRAY)
GREY = (np.arange(20, dtype=np.uint8) * 13).reshape(4, 5)


def test_images_become_floating_channels_first():
    for value in (ARRAY, TENSOR, PICTURE):
        x = as_float_image(value)
        assert x.dtype == torch.float32
        assert torch.equal(x, TENSOR.float() / 255)
    assert as_float_image(ARRAY[..., 0]).shape == (1, 4, 5)
    assert as_float_image(ARRAY.astype(np.float64)).dtype == torch.float32
    floats = TENSOR.half()
    assert as_float_image(floats) is floats
    assert as_float_image(ARRAY[::-1, ::-1]).is_contiguous()


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I;16N"])
def test_16_bits_keep_every_value(mode):
    values = (np.arange(64) * 1000).astype(np.uint16).reshape(8, 8)
    raw = values.astype(">u2") if mode == "I;16B" else values.astype("<u2")
    picture = Image.frombytes("I;16" if mode == "I;16N" else mode, (8, 8), raw.tobytes())
    for value in (picture, values, torch.from_numpy(values).unsqueeze(0), raw):
        x = as_float_image(value)
        assert x.shape == (1, 8, 8)
        assert torch.equal(x, torch.from_numpy(values.astype(np.float32) / np.float32(65535)).unsqueeze(0))
    assert torch.equal(as_mask(picture), torch.from_numpy(values.astype(np.int64)))


def test_floats_keep_their_range_and_32_bits_are_asked_about():
    values = np.linspace(-3, 7, 20, dtype=np.float32).reshape(4, 5)
    assert torch.equal(as_float_image(Image.fromarray(values)), torch.from_numpy(values).unsqueeze(0))
    wide = np.arange(20, dtype=np.int32).reshape(4, 5) * 100_000
    with pytest.raises(fm.FeatmixError, match=r"expected bytes, 16 bits or floats, got torch\.int32"):
        as_float_image(Image.fromarray(wide, mode="I"))
    told = fm.Pipeline(sample=lambda image: np.float32(image) / 4095).dataset([Image.fromarray(wide, mode="I")])[0]
    assert np.array_equal(told, wide.astype(np.float32) / 4095)


@pytest.mark.parametrize(
    ("mode", "channels"), [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4), ("CMYK", 4), ("YCbCr", 3), ("HSV", 3)]
)
def test_bytes_keep_their_channels(mode, channels):
    values = np.random.default_rng(0).integers(0, 256, (4, 5, channels), dtype=np.uint8)
    picture = Image.frombytes(mode, (5, 4), values.tobytes())
    x = as_float_image(picture)
    assert torch.equal(x, torch.from_numpy(values).movedim(-1, 0).float() / 255)


def test_two_levels_are_0_and_1():
    values = GREY > 100
    for value in (Image.fromarray(values), values):
        assert torch.equal(as_float_image(value), torch.from_numpy(values).float().unsqueeze(0))
    assert as_array(Image.fromarray(values), image=True).dtype == np.uint8  # as albumentations takes it


def test_palettes_become_their_colours_with_alpha_where_they_have_any():
    colours = np.random.default_rng(0).integers(0, 256, (256, 4), dtype=np.uint8)
    indices = np.arange(20, dtype=np.uint8).reshape(4, 5) * 11
    picture = Image.fromarray(indices, mode="P")
    picture.putpalette(colours[:, :3].tobytes())
    expected = torch.from_numpy(colours[indices]).movedim(-1, 0).float() / 255
    assert torch.equal(as_float_image(picture), expected[:3])
    assert torch.equal(as_mask(picture), torch.from_numpy(indices).long())  # of a mask they are no colours
    with_alpha = picture.copy()
    with_alpha.putpalette(colours.tobytes(), "RGBA")
    assert torch.equal(as_float_image(with_alpha), expected)
    picture.info["transparency"] = 11
    found = as_float_image(picture)
    assert torch.equal(found[:3], expected[:3])
    assert torch.equal(found[3] == 0, torch.from_numpy(indices == 11))


def test_a_byte_that_is_no_channel_is_left_out_and_premultiplied_colours_are_refused():
    assert as_float_image(Image.new("RGBX", (5, 4))).shape == (3, 4, 5)
    with pytest.raises(fm.FeatmixError, match=r"one of the usual modes, got 'RGBa'.*convert\('RGBA'\)"):
        as_float_image(Image.new("RGBa", (5, 4)))


def test_integers_of_unknown_range_are_refused():
    with pytest.raises(fm.FeatmixError, match=r"Pipeline\.collate: image: expected bytes, 16 bits or floats, got torch\.int32"):
        as_float_image(ARRAY.astype(np.int32))


@pytest.mark.parametrize(
    ("image", "fix"),
    [
        (np.zeros((3, 8, 9), np.uint8), r"torch\.from_numpy\(image\) if channels come first"),
        (np.zeros((8, 9, 13), np.float32), r"torch\.from_numpy\(image\)\.movedim\(-1, 0\) if they come last"),
        (torch.zeros(8, 9, 3), r"image\.movedim\(-1, 0\)"),
    ],
)
def test_channels_are_not_looked_for_where_they_are_not(image, fix):
    for read in (check_axes, lambda image: fm.Pipeline().collate([(image, 0)]), lambda image: fm.Pipeline().collate([image])):
        with pytest.raises(fm.FeatmixError, match=rf"Pipeline: item: expected an? (array|tensor) \(.*{fix}"):
            read(image)
    with pytest.raises(fm.FeatmixError, match=r"Pipeline: item: expected an? "):
        fm.Pipeline(sample=lambda image: image).dataset([image])[0]


def test_many_channels_are_for_tensors():
    assert fm.Pipeline().collate([torch.rand(13, 8, 9)]).shape == (1, 13, 8, 9)


@pytest.mark.parametrize(
    ("mask", "dtype", "shape"),
    [
        (np.zeros((4, 5), np.uint8), torch.int64, (4, 5)),
        (np.zeros((4, 5), ">i4"), torch.int64, (4, 5)),
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
