"""kornia's mixers with one partner for each sample, as strategies. Made by :func:`featmix.interop.kornia.from_kornia`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.sampling.boxes import area_of
from featmix.sampling.draws import Stream
from featmix.sampling.words import Partner
from featmix.seeding import torch_seeded
from featmix.strategies.cutmix import CutMix, CutMixParams
from featmix.strategies.mixup import Mixup
from featmix.strategies.params import Draw, Params


class KorniaMixup(Mixup):
    """``RandomMixUpV2``: strengths uniform in ``lambda_val``, one for each sample unless ``same_on_batch``.

    Args:
        mixer: Of kornia's.
        partner: See :func:`~featmix.interop.kornia.from_kornia`.
        num_classes: See there.
    """

    def __init__(self, mixer: Any, *, partner: Partner = "permutation", num_classes: int | None = None) -> None:
        super().__init__(p=mixer.p_batch, per="batch", partner=partner, layout="bchw", num_classes=num_classes)
        take(self, mixer)

    mixer: Any

    def decide(self, shape: Sequence[int], draw: Draw) -> Params:
        """Take the partner's share from kornia."""
        if not draw.active.any():
            return Params.of(draw, 1.0)
        return Params.of(draw, 1 - drawn(self, shape, draw.random)["mixup_lambdas"].float().numpy())


class KorniaCutMix(CutMix):
    """``RandomCutMixV2`` with one box: its place is uniform among those where it fits, so it is never clipped.

    Args:
        mixer: Of kornia's.
        partner: See :func:`~featmix.interop.kornia.from_kornia`.
        num_classes: See there.
    """

    def __init__(self, mixer: Any, *, partner: Partner = "permutation", num_classes: int | None = None) -> None:
        super().__init__(p=mixer.p_batch, per="batch", partner=partner, layout="bchw", num_classes=num_classes)
        take(self, mixer)

    mixer: Any

    def decide(self, shape: Sequence[int], draw: Draw) -> CutMixParams:
        """Take the boxes from kornia; the label's share is the area that they cover."""
        sizes = (int(shape[2]), int(shape[3]))
        box = np.zeros((len(draw), 2, 2), dtype=np.int64)
        if draw.active.any():
            box[draw.active] = self.boxes(drawn(self, shape, draw.random)).numpy()[draw.active]
        return CutMixParams.of(draw, 1 - area_of(box) / max(sizes[0] * sizes[1], 1), box=box, sizes=sizes)

    def boxes(self, found: dict[str, Tensor]) -> Tensor:
        """Return kornia's boxes, ``(B, 2, 2)``: of height, then width, first position inside and first past the box."""
        return corners(found["crop_src"])[0]


class KorniaPatchMix(KorniaCutMix):
    """``PatchMix``: a square of ``patch_size``, which must fit into the image.

    Args:
        mixer: Of kornia's.
        partner: See :func:`~featmix.interop.kornia.from_kornia`.
        num_classes: See there.
    """

    def boxes(self, found: dict[str, Tensor]) -> Tensor:
        """Return the squares that kornia drew, ``(B, 2, 2)``."""
        first = found["patch_coords"].long().flip(1)  # it has the width first
        return torch.stack([first, first + self.mixer.patch_size], dim=2)


def take(strategy: Any, mixer: Any) -> None:
    """Give a strategy its own copy of a mixer, and the mixer's name."""
    own = copy.deepcopy(mixer)
    own.set_rng_device_and_dtype(torch.device("cpu"), own.dtype)  # where the generators are that can be seeded and put back
    own._params = {}
    vars(strategy).update(mixer=own, name=f"kornia-{type(mixer).__name__}")


def drawn(strategy: Any, shape: Sequence[int], random: Stream) -> dict[str, Tensor]:
    """Return what a mixer draws for images of this shape, from a seed of the stream; global generators stay as they are.

    Raises:
        FeatmixError: If kornia refuses.
    """
    seed, mixer = int(random.random() * 2**31), strategy.mixer
    try:
        with torch_seeded(seed):
            found = mixer.generate_parameters(torch.Size(shape))
    except Exception as error:
        name = type(mixer).__name__
        raise FeatmixError(
            type(strategy).__name__,
            "shape",
            expected=f"images that kornia's {name} takes",
            got=f"{tuple(shape)}: {type(error).__name__}: {error}",
        ) from error
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def corners(vertices: Tensor) -> Tensor:
    """Boxes that kornia gives by four vertices ``(..., 4, 2)``, the last inside, as ``(..., 2, 2)``: height, then width.

    Example:
        >>> corners(torch.tensor([[[1.0, 2.0], [4.0, 2.0], [4.0, 3.0], [1.0, 3.0]]]))
        tensor([[[2, 4],
                 [1, 5]]])
    """
    first, last = vertices[..., 0, :].long(), vertices[..., 2, :].long()
    return torch.stack([first.flip(-1), last.flip(-1) + 1], dim=-1)
