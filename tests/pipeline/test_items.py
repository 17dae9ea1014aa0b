from collections import namedtuple

import numpy as np
import pytest
import torch
from PIL import Image

import featmix as fm
from featmix.pipeline.items import take_apart
from featmix.pipeline.names import Names

Pair = namedtuple("Pair", "image label")
ARRAY = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
TENSOR = torch.from_numpy(ARRAY).movedim(-1, 0)
PICTURE = Image.fromarray(ARRAY)
LIKE = np.zeros((4, 5))
ONE = Names(masks=(1,))


@pytest.mark.parametrize("image", [ARRAY, TENSOR, PICTURE], ids=["array", "tensor", "PIL"])
def test_an_image_is_found_and_put_back(image):
    for item, names, masks in [
        (image, Names(), 0),
        ((image, 3), Names(), 0),
        ([image, torch.tensor(3)], Names(), 0),
        (Pair(image, "cat"), Names(), 0),
        (Pair(image, LIKE), Names(masks=("label",)), 1),
        ((image, LIKE), ONE, 1),
        ((image, LIKE), Names(masks=()), 0),
        ((image, 3, torch.zeros(2, 4, 5), Image.new("L", (5, 4))), Names(masks=(2, 3)), 2),
        ((image, np.zeros(5)), Names(), 0),  # a label as a vector
        ((image, np.zeros((7, 5))), Names(), 0),  # boxes
        ({"image": image, "label": 3}, Names(), 0),
        ({"image": image, "mask": LIKE, "id": "x"}, Names(), 1),
        ({"image": image, "mask": None}, Names(), 0),
    ]:
        taken = take_apart(item, names)
        assert taken.images == (image,)
        assert len(taken.masks) == masks
        new = [f"mask {i}" for i in range(masks)]
        again = taken.put_back(["new"], new)
        assert type(again) is (str if item is image else type(item))
        if isinstance(item, dict):
            assert again == {**item, "image": "new", **({"mask": "mask 0"} if masks else {})}
        elif item is not image:
            assert again[0] == "new"
            assert [value for value in again if isinstance(value, str) and value.startswith("mask")] == new


@pytest.mark.parametrize(
    ("item", "names"),
    [
        ((7, ARRAY, LIKE, PICTURE), Names(images=(3, 1), masks=(2,))),
        ({"left": PICTURE, "right": ARRAY, "depth": LIKE, "image": 3}, Names(images=("left", "right"), masks=("depth",))),
        (Pair(PICTURE, ARRAY), Names(images=("image", "label"))),
    ],
)
def test_several_images_are_found_by_name_and_put_back_under_it(item, names):
    taken = take_apart(item, names)
    assert taken.images == (PICTURE, ARRAY)
    again = taken.put_back(["first", "second"], ["map"] * len(taken.masks))
    read = take_apart(item, names).names
    assert [again[name] for name in read] == ["first", "second", *["map"] * len(taken.masks)]
    assert type(again) is type(item)


@pytest.mark.parametrize(
    "other",
    [LIKE, ARRAY.copy(), LIKE.astype(np.float32), torch.zeros(3, 4, 5), PICTURE.copy(), np.zeros((4, 5), np.int64)],
    ids=["float64", "view", "float32 target", "tensor", "PIL", "integers"],
)
def test_what_an_entry_of_the_images_size_is_has_to_be_said(other):
    """A second view is no mask, a target may move or not, and a mask has to move: nobody can tell."""
    said = r"Pipeline: item\[1\]: expected to be told what it is.*masks=\(1,\).*images=\(0, 1\).*masks=\(\)"
    for read in (take_apart, lambda item: fm.Pipeline().collate([item])):
        with pytest.raises(fm.FeatmixError, match=said):
            read((ARRAY, other))
    with pytest.raises(fm.FeatmixError, match=said):
        fm.Pipeline(sample=lambda image: image).dataset([(ARRAY, other)])[0]
    with pytest.raises(fm.FeatmixError, match=r"item\['target'\]: expected to be told"):
        take_apart({"image": ARRAY, "target": other})
    assert take_apart((ARRAY, other), Names(masks=())).masks == ()


@pytest.mark.parametrize(
    ("item", "names", "got"),
    [
        (3, Names(), "int"),
        ("cat.png", Names(), "str"),
        ((), Names(), "a tuple that begins with nothing"),
        ((3, ARRAY), Names(), "a tuple that begins with int"),
        ({"picture": ARRAY}, Names(), "a dictionary of \\['picture'\\]"),
        ((torch.zeros(4, 5), 1), Names(), "a tuple that begins with Tensor"),
        (torch.zeros(1, 2, 3, 4, 5), Names(), "Tensor"),
        ((ARRAY, 1), Names(images=(0, 1)), "a tuple with int at position 1"),
        ((ARRAY, 1), Names(images=(2,)), "a tuple with nothing at position 2"),
        ((ARRAY, 1), Names(images=("left",)), "a tuple, which has no key 'left'"),
        (ARRAY, Names(images=(0, 1)), "ndarray"),
    ],
)
def test_what_holds_no_image_is_refused(item, names, got):
    with pytest.raises(fm.FeatmixError, match=f"Pipeline: item: expected an image.*got {got}"):
        take_apart(item, names)


def test_a_mask_that_is_none_is_refused():
    with pytest.raises(fm.FeatmixError, match=r"masks: expected a map at 1.*got int"):
        take_apart((ARRAY, 3), ONE)
    with pytest.raises(fm.FeatmixError, match=r"masks: expected a map at 'seg'.*got a dictionary"):
        take_apart({"image": ARRAY}, Names(masks=("seg",)))
    with pytest.raises(fm.FeatmixError, match=r"masks: expected a map at 'mask'.*got list"):
        take_apart({"image": ARRAY, "mask": [[1]]})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"images": 0.5}, "Pipeline: images: expected keys or positions, each once, got 0.5"),
        ({"images": ()}, "Pipeline: images: expected at least one"),
        ({"images": ("a", "a")}, "Pipeline: images: expected keys or positions, each once"),
        ({"masks": -1}, "Pipeline: masks: expected keys or positions"),
        ({"masks": (True,)}, "Pipeline: masks: expected keys or positions"),
        ({"images": ("a", "b"), "masks": "b"}, "Pipeline: masks: expected other entries than images"),
    ],
)
def test_bad_names_are_refused(settings, message):
    with pytest.raises(fm.FeatmixError, match=message):
        fm.Pipeline(**settings)
    assert fm.Pipeline(images="left", masks=1).images == ("left",)


def test_what_is_called_an_image_is_scaled_as_one_or_asked_about():
    small = np.full((2, 3, 3), 255, np.uint8)
    item = {"image": ARRAY, "image2": small}
    with pytest.raises(
        fm.FeatmixError, match=r"item\['image2'\]: expected to be told.*by its name an image.*images=\('image', 'image2'\)"
    ):
        fm.Pipeline().collate([item])
    batch = fm.Pipeline(images=("image", "image2")).collate([item])
    assert (batch["image2"].max(), batch["image2"].dtype) == (1, torch.float32)
    assert fm.Pipeline(stay="image2").collate([item])["image2"].dtype == torch.uint8
