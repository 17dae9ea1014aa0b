"""Volumes go through ``sample`` and ``batch`` with their masks."""

import os

import numpy as np
import pytest
import torch
from kornia import augmentation as K
from torch import nn

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A

import featmix as fm

SHAPE = (4, 6, 8)
BLOCK = np.zeros(SHAPE, np.uint8)
BLOCK[1:3, 1:3, 2:6] = 255
VOLUME = torch.from_numpy(BLOCK)[None].float() / 255
MASK = torch.from_numpy(BLOCK // 255 * 3).long()


def first(pipeline, item, count=2):
    return next(iter(pipeline.loader([item] * count, batch_size=count)))


@pytest.mark.parametrize(
    "transform",
    [None, K.RandomHorizontalFlip3D(p=1.0), K.AugmentationSequential(K.RandomDepthicalFlip3D(p=1.0)), lambda x, m: (x, m)],
)
def test_tensors_of_four_axes_are_volumes(transform):
    images, masks, labels = first(fm.Pipeline(sample=transform, masks=1), (VOLUME, MASK, 7))
    assert images.shape == (2, 1, *SHAPE)
    assert torch.equal(masks > 0, images[:, 0] > 0.5)
    assert masks.dtype == torch.int64
    assert masks.max() == 3
    assert labels.tolist() == [7, 7]
    assert first(fm.Pipeline(), (torch.from_numpy(BLOCK)[None], 1))[0].max() == 1  # bytes are scaled


def test_a_volume_of_unknown_company_is_asked_about():
    with pytest.raises(fm.FeatmixError, match=r"item\[1\].*"):
        fm.Pipeline(sample=K.RandomHorizontalFlip3D(p=1.0)).dataset([(VOLUME, MASK)])[0]


@pytest.mark.parametrize("channels", [(), (2,)])
def test_albumentations_moves_its_volumes_and_their_masks(channels):
    volume = np.broadcast_to(BLOCK.reshape(*SHAPE, *[1] * len(channels)), (*SHAPE, *channels)).copy()
    item = {"volume": volume, "mask3d": BLOCK.astype(np.int32) // 255 * 300, "label": 7}
    for sample in (A.Compose([A.RandomCrop3D((3, 5, 6))]), A.Compose([A.CubicSymmetry(p=1)]), None):
        batch = first(fm.Pipeline(sample=sample, seed=3), item, 1)
        assert batch["volume"].shape[1] == (channels or (1,))[0]
        assert torch.equal(batch["mask3d"][0] > 0, batch["volume"][0, 0] > 0.5)
        assert (batch["mask3d"].dtype, batch["mask3d"].max()) == (torch.int64, 300)
        assert batch["label"].tolist() == [7]
    with pytest.raises(fm.FeatmixError, match=r"an array for albumentations, got a tensor \(1, 4, 6, 8\).*'volume'"):
        fm.Pipeline(sample=A.Compose([A.CenterCrop3D((2, 2, 2))])).dataset([{"image": VOLUME}])[0]


@pytest.mark.parametrize(
    "transform",
    [
        K.RandomVerticalFlip3D(p=0.5),
        nn.Sequential(K.RandomHorizontalFlip3D(p=0.5), K.RandomDepthicalFlip3D(p=0.5)),
        K.AugmentationSequential(K.RandomHorizontalFlip3D(p=0.5), K.RandomCrop3D((3, 4, 6), p=1.0)),
        K.AugmentationSequential(K.RandomHorizontalFlip3D(p=0.5), K.RandomEqualize3D(p=0.0)),
    ],
)
def test_masks_move_beside_kornias_operations_on_volumes(transform):
    x = torch.zeros(6, 1, *SHAPE)
    for row in range(6):
        x[row, 0, 1:3, 1 : 2 + row % 3, row % 4 : 5] = 1
    maps = (x[:, 0] * 300).long()
    with fm.Pipeline(batch=transform, seed=0).attach(nn.Flatten()) as mixer:
        moved, one, two = mixer.prepare(x, maps, maps.unsqueeze(1).byte() > 0)
    assert not torch.equal(moved, x)
    assert torch.equal(one, (moved[:, 0] * 300).round().long())
    assert torch.equal(two[:, 0], moved[:, 0] > 0.5)


def test_classes_are_not_blended_where_volumes_are_turned():
    x = (torch.rand(2, 1, 6, 6, 6, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    with fm.Pipeline(batch=K.RandomRotation3D((20.0, 20.0, 20.0), p=1.0), seed=0).attach(nn.Flatten()) as mixer:
        moved, maps = mixer.prepare(x, (x[:, 0] * 7).long())
    assert set(maps.unique().tolist()) == {0, 7}
    assert not torch.equal(moved, x)
    either = K.AugmentationSequential(K.RandomHorizontalFlip3D(), K.RandomVerticalFlip3D(), random_apply=1)
    with (
        fm.Pipeline(batch=either).attach(nn.Flatten()) as mixer,
        pytest.raises(fm.FeatmixError, match="one order, got random_apply"),
    ):
        mixer.prepare(x, x[:, 0].long())
