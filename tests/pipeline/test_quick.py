"""The ordinary item on the short way is what it is on the long one."""

import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import default_collate

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A

import featmix as fm
from featmix.pipeline.collate import collate
from featmix.pipeline.generators import Sources
from featmix.pipeline.names import Names
from featmix.pipeline.quick import quick_batch, quick_transform
from featmix.pipeline.sample import apply_to_item
from tests.interop.real_torchvision import torchvision_or_skip

ARRAY = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
TENSOR = torch.from_numpy(ARRAY).movedim(-1, 0)
IMAGES = {
    "array": ARRAY,
    "flat": ARRAY[..., 0],
    "one channel": ARRAY[..., :1],
    "floats": ARRAY.astype(np.float32),
    "double": ARRAY.astype(np.float64),
    "16 bits": ARRAY.astype(np.uint16),
    "PIL": Image.fromarray(ARRAY),
    "tensor": TENSOR,
    "floating tensor": TENSOR.float(),
    "many channels": torch.rand(7, 6, 8),
}


def same(one, other):
    one, other = (each[0] if isinstance(each, tuple) else each for each in (one, other))
    return type(one) is type(other) and np.array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("library", ["albumentations", "torchvision", "none"])
@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_items_are_transformed_alike(library, image):
    if library == "torchvision":
        v2 = torchvision_or_skip("torchvision.transforms.v2")
        tv_tensors = torchvision_or_skip("torchvision.tv_tensors")
        by_kind = v2.RandomAffine(20, fill={tv_tensors.Image: 7, "others": 3})
        kinds = v2.Lambda(lambda x: x.float() if isinstance(x, tv_tensors.Image) else x)
        transforms = [v2.Compose([v2.RandomHorizontalFlip(), v2.RandomCrop(4)]), v2.Compose([v2.ToImage()]), by_kind, kinds]
    elif library == "albumentations":
        transforms = [A.Compose([A.HorizontalFlip(), A.RandomCrop(4, 4)])]
    else:
        transforms = [lambda image: image.rotate(90) if isinstance(image, Image.Image) else image + np.random.rand()]
    if library == "albumentations" and not isinstance(image, np.ndarray):
        image = np.asarray(image) if isinstance(image, Image.Image) else image
    for transform in transforms:
        sources, longer = Sources(transform), []

        def slowly(item, transform=transform, longer=longer):
            longer.append(item)
            return apply_to_item(transform, item)

        quick = quick_transform(transform, Names(), slowly)
        try:
            with sources.drawing(3):
                expected = apply_to_item(transform, (image, 5))
        except Exception as error:
            with pytest.raises(type(error)):
                quick((image, 5))
            continue
        with sources.drawing(3):
            done = quick((image, 5))
        assert same(done, expected)
        assert done[1] == 5
        for item in ((image, 5, 6), (image, np.zeros(3)), {"image": image}, [image, 5], image):
            before = len(longer)
            quick(item)
            assert len(longer) == before + 1
    assert quick_transform(transforms[0], Names(images=(0, 1)), slowly) is slowly


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_batches_are_made_alike(image, monkeypatch):
    more = {"numbers": [1, 2], "floats": [0.5, 1.5], "words": ["a", "b"], "NumPy's": [np.int64(3), np.int64(4)]}
    batches = [[(image, label) for label in labels] for labels in more.values()]
    batches.append([(image, 1, "x"), (image, 2, "y")])
    seen = [collate(batch) for batch in batches]
    if isinstance(image, np.ndarray) and image.dtype in (np.uint8, np.float32):
        assert quick_batch(batches[0], Names()) is not None
    monkeypatch.setattr("featmix.pipeline.collate.quick_batch", lambda items, names: None)
    for done, batch in zip(seen, batches, strict=True):
        expected = collate(batch)
        assert type(done) is type(expected) is list
        assert torch.equal(done[0], expected[0])
        assert (done[0].dtype, done[0].is_contiguous()) == (
            torch.float32 if image is not IMAGES["double"] else done[0].dtype,
            True,
        )
        for one, other in zip(done[1:], expected[1:], strict=True):
            assert torch.equal(one, other) and one.dtype == other.dtype if isinstance(one, torch.Tensor) else one == other


def test_what_is_no_ordinary_batch_goes_the_long_way():
    plain = [(ARRAY, 1), (ARRAY, 2)]
    assert quick_batch(plain, Names()) is not None
    mixed = [
        [(ARRAY, 1), [ARRAY, 2]],
        [(ARRAY, 1), (ARRAY, 2, 3)],
        [(ARRAY, 1), (ARRAY[:5], 2)],
        [(ARRAY, 1), (ARRAY.astype(np.float32), 2)],
        [(ARRAY, 1), (TENSOR, 2)],
        [(ARRAY, ARRAY), (ARRAY, ARRAY)],
        [(ARRAY, None), (ARRAY, None)],
        [(ARRAY.astype(">u2"), 1)] * 2,
        [(np.zeros((3, 8, 8), np.uint8), 1)] * 2,
        [(torch.zeros(8, 8, 3), 1)] * 2,
        [(torch.zeros(3, 8, 8, requires_grad=True), 1)] * 2,
        [{"image": ARRAY}] * 2,
        [ARRAY] * 2,
    ]
    for items in mixed:
        assert quick_batch(items, Names()) is None
    for names in (Names(images=(0,)), Names(masks=(1,))):
        assert quick_batch(plain, names) is None
    with pytest.raises(fm.FeatmixError, match=r"images of one shape in a batch, got \(3, 5, 8\), \(3, 6, 8\)"):
        collate(mixed[2])
    with pytest.raises(fm.FeatmixError, match=r"an array \(H, W, C\) with up to 4 channels"):
        collate(mixed[8])
    with pytest.raises(fm.FeatmixError, match="to be told what it is"):
        collate(mixed[5])
    assert default_collate([1, 2]).tolist() == collate(plain)[1].tolist()
