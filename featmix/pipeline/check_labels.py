"""Refuse transforms that mix labels outside ``mix``, since the loss would not know of it."""

from __future__ import annotations

from typing import Any

from featmix.errors import FeatmixError
from featmix.pipeline.origin import derives_from, library_of, parts_of
from featmix.strategies.base import Strategy

_MIXERS = (
    "kornia.augmentation._2d.mix.base.MixAugmentationBaseV2",
    "kornia.augmentation._3d.mix.transplantation.RandomTransplantation3D",
    "torchvision.transforms.v2._augment._BaseMixUpCutMix",
    "timm.data.mixup.Mixup",
    "timm.data.mixup.FastCollateMixup",
    "albumentations.augmentations.mixing.transforms.Mosaic",
)
_WITHIN_A_SAMPLE = ("kornia.augmentation._2d.mix.jigsaw.RandomJigsaw",)
_ADAPTERS = {
    "kornia": "Adapt it: mix={'input': fm.interop.kornia.from_kornia(...)}.",
    "torchvision.transforms.v2": "Adapt it: mix={'input': fm.interop.torchvision.from_torchvision(...)}, or of a RandomChoice "
    "of several mix=fm.interop.torchvision.tree_from_torchvision(choice).",
}


def check_transform(argument: str, transform: Any, *, who: str = "Pipeline") -> None:
    """Refuse an object that is no transform, or a transform that mixes samples.

    Raises:
        FeatmixError: If it is refused.
    """
    if not callable(transform) or isinstance(transform, type):
        fix = "Compose several with the Compose of their library."
        raise FeatmixError(who, argument, expected="a transform", got=repr(transform), fix=fix)
    check_keeps_labels(argument, transform, who=who)


def check_keeps_labels(argument: str, transform: Any, *, who: str = "Pipeline") -> None:
    """Refuse a transform that mixes samples, or that contains such a transform.

    Raises:
        FeatmixError: If it mixes samples; the message says where it belongs.
    """
    for part in parts_of(transform):
        if isinstance(part, Strategy) and part.tags.mixes_labels:
            fix = f"Put it into mix=, for example mix={{'input': fm.{type(part).__name__}(...)}}."
        elif type(part).__module__.startswith("featmix."):
            continue  # an adapted strategy: what it holds decides, and comes next
        elif derives_from(part, _MIXERS) and not derives_from(part, _WITHIN_A_SAMPLE):
            fix = _ADAPTERS.get(library_of(part), "Use featmix's own strategy of that kind in mix=.")
        else:
            continue
        raise FeatmixError(
            who,
            argument,
            expected="transforms that leave each sample its own label",
            got=f"{type(part).__name__}, which mixes samples, so that the labels would be wrong",
            fix=fix,
        )
