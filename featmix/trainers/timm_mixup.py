"""``timm.data.Mixup`` for batches of any size, with exact labels, and without writing into the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Generator, Tensor

from featmix.checks import Checks
from featmix.errors import FeatmixError
from featmix.labels.mixture import Mixture
from featmix.sampling.draws import Flags, Floats, Rows, Stream, beta, borrowed, uniform
from featmix.sampling.timm_boxes import boxes_between, whole_boxes
from featmix.strategies.border import check_features, check_generator
from featmix.strategies.cutmix import CutMix, CutMixParams
from featmix.strategies.mixup import Mixup as Blend
from featmix.strategies.params import Draw, Params, decisions_to

_MODES = ("batch", "pair", "elem")
_SMOOTHING = 0.1  # timm's own


class Mixup(Checks):
    """Replacement for ``timm.data.Mixup``: same arguments, attributes and distribution, called as ``f(images, target)``.

    Row ``i`` takes from row ``B - 1 - i``, as in timm. Three things differ. A batch may have an odd size: its middle row then
    stays as it is. Images come back in new memory, unless ``inplace=True``. And randomness comes from torch's default
    generator, or the one given, where timm draws from NumPy's.

    A training script switches it off by ``mixup_fn.mixup_enabled = False``, as timm's ``train.py`` does from
    ``--mixup-off-epoch`` on: images then stay, and labels come back smoothed and unmixed.

    Args:
        mixup_alpha: Of Mixup's Beta distribution; 0 for no Mixup.
        cutmix_alpha: Of CutMix's Beta distribution; 0 for no CutMix.
        cutmix_minmax: The least and the largest side of a box, as parts of the image's; ``cutmix_alpha`` is then 1.
        prob: Probability that a batch, a pair or an element is mixed.
        switch_prob: Probability of CutMix where both are on.
        mode: One strength and one box for the ``batch``, for each ``pair`` of rows that take from each other, or for each
            ``elem``.
        correct_lam: Labels go by the area that was really replaced. Only True: by the strength drawn, as with False in timm,
            labels would not be what the images hold.
        label_smoothing: 0.1 unless told, as in timm: pass 0 for none.
        num_classes: Of class indices; 1000 unless told, as in timm.
        multi_label: Whether targets are ``(B, num_classes)``, each label by itself; smoothing then goes towards 0.5.
        inplace: Write into the batch, as timm does.
        generator: Source of randomness; ``None`` is torch's default generator.

    Raises:
        FeatmixError: If an argument is out of range, nothing is switched on, ``correct_lam`` is False or ``mode`` is ``half``,
            which belongs to timm's ``FastCollateMixup``.

    Example:
        >>> mixup_fn = Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, label_smoothing=0.0, num_classes=3)
        >>> images, soft = mixup_fn(torch.rand(5, 3, 8, 8), torch.tensor([0, 1, 2, 1, 0]))
        >>> images.shape, soft.sum(1)
        (torch.Size([5, 3, 8, 8]), tensor([1., 1., 1., 1., 1.]))
    """

    def __init__(
        self,
        mixup_alpha: float = 1.0,
        cutmix_alpha: float = 0.0,
        cutmix_minmax: Sequence[float] | None = None,
        prob: float = 1.0,
        switch_prob: float = 0.5,
        mode: Literal["batch", "pair", "elem"] = "batch",
        correct_lam: bool = True,
        label_smoothing: float = _SMOOTHING,
        num_classes: int = 1000,
        multi_label: bool = False,
        *,
        inplace: bool = False,
        generator: Generator | None = None,
    ) -> None:
        self.mixup_alpha = self._in_range("mixup_alpha", mixup_alpha, 0, 1e6)
        self.cutmix_alpha = self._in_range("cutmix_alpha", cutmix_alpha, 0, 1e6) if cutmix_minmax is None else 1.0
        self.cutmix_minmax = None if cutmix_minmax is None else _sides(cutmix_minmax)
        self.mix_prob = self._in_range("prob", prob, 0, 1)
        self.switch_prob = self._in_range("switch_prob", switch_prob, 0, 1)
        self.mode = _mode(mode)
        self.correct_lam = self._flag("correct_lam", correct_lam)
        self.label_smoothing = self._in_range("label_smoothing", label_smoothing, 0, 1)
        self.num_classes = self._whole("num_classes", num_classes, least=1)
        self.multi_label = self._flag("multi_label", multi_label)
        self.inplace = self._flag("inplace", inplace)
        check_generator("Mixup", generator)
        self.generator = generator
        self.mixup_enabled = True
        if not self.mixup_alpha and not self.cutmix_alpha:
            expected = "mixup_alpha or cutmix_alpha above 0, or cutmix_minmax"
            raise FeatmixError("Mixup", expected=expected, got="none of them", fix="Leave the mixing function out.")
        if not correct_lam:
            raise FeatmixError(
                "Mixup",
                "correct_lam",
                expected="True",
                got="False, by which labels have another share than the area that was replaced",
                fix="Leave it out; timm's train.py does not set it either.",
            )

    def __call__(self, images: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a batch.

        Args:
            images: ``(B, C, H, W)``, floating; with CutMix alone of any dtype.
            target: Class indices ``(B,)``, or ``(B, num_classes)`` with ``multi_label=True``.

        Returns:
            Images of the same shape and dtype, and soft targets ``(B, num_classes)``, float32.

        Raises:
            FeatmixError: If images or targets are none, or do not fit together.
        """
        if not isinstance(images, Tensor) or images.ndim != 4:
            got = f"shape {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
            raise FeatmixError("Mixup", "images", expected="a batch (B, C, H, W)", got=got)
        check_features("Mixup", images, needs_float=self.mixup_alpha > 0)
        labels = self.soft(target)
        if len(labels) != len(images):
            raise FeatmixError("Mixup", "target", expected=f"{len(images)} rows", got=f"{len(labels)}")
        with borrowed(self.generator) as random:
            blend, paste, mixture = self.decide(len(images), tuple(images.shape[2:]), random)
        blend, paste, mixture = decisions_to([blend, paste], images.device, mixture)
        return self.transform(images, blend, paste), mixture.dense(labels)

    def soft(self, target: Tensor) -> Tensor:
        """Return targets ``(B, num_classes)``, smoothed and not mixed."""
        smooth, wide = self.label_smoothing, (len(target), self.num_classes) if isinstance(target, Tensor) else ()
        if self.multi_label:
            if target.shape != wide:
                expected, got = f"targets {wide}, for multi_label=True", f"shape {tuple(target.shape)}"
                raise FeatmixError("Mixup", "target", expected=expected, got=got)
            return target.float() * (1 - smooth) + 0.5 * smooth
        if not isinstance(target, Tensor) or target.ndim != 1:
            got = f"shape {tuple(target.shape)}" if isinstance(target, Tensor) else type(target).__name__
            fix = "Soft targets are mixed or smoothed already; for labels that are on or off say multi_label=True."
            raise FeatmixError("Mixup", "target", expected="class indices (B,)", got=got, fix=fix)
        hard = Mixture.identity(len(target), target.device).dense(target, self.num_classes)
        return hard * (1 - smooth) + smooth / self.num_classes

    def decide(self, batch: int, sizes: tuple[int, ...], random: Stream) -> tuple[Params, CutMixParams, Mixture]:
        """Draw for one batch: blends, boxes, and what the labels become.

        Args:
            batch: Rows.
            sizes: Height and width.
            random: The stream of this decision.
        """
        rows = np.arange(batch)
        partner = rows[::-1].copy()
        unit = {"batch": np.zeros_like(rows), "pair": np.minimum(rows, partner), "elem": rows}[self.mode]
        lam, box, pastes = self._strengths(int(unit.max(initial=-1)) + 1, sizes, random)
        lam, box, pastes = lam[unit], box[unit], pastes[unit]
        active = (lam < 1) & (partner != rows)

        def drawn(mixed: Flags) -> Draw:
            return Draw(np.where(mixed, partner, rows), mixed, random, mixes_labels=True)

        pasting = drawn(active & pastes)
        paste = CutMixParams.of(pasting, lam, box=pasting.gated(box, 0), sizes=sizes)
        return Params.of(drawn(active & ~pastes), lam), paste, Params.of(drawn(active), lam).mixture

    def transform(self, images: Tensor, blend: Params, paste: CutMixParams) -> Tensor:
        """Return images by a decision; those of both kinds take from the batch as it was."""
        inplace = self.inplace
        if not blend.acts():
            return CutMix(inplace=inplace).transform(images, paste) if paste.acts() or not inplace else images
        if not paste.acts():
            return Blend(inplace=inplace).transform(images, blend)
        pasted, blended = CutMix().transform(images, paste), Blend().transform(images, blend)
        mixed = torch.where(paste.active.view(-1, 1, 1, 1), pasted, blended)
        return images.copy_(mixed) if inplace else mixed

    def _strengths(self, units: int, sizes: tuple[int, ...], random: Stream) -> tuple[Floats, Rows, Flags]:
        """Return for each unit the weight of the sample itself, its box, and whether it is pasted; 1 where nothing is mixed."""
        pastes = np.full(units, not self.mixup_alpha)
        if self.mixup_alpha and self.cutmix_alpha:
            pastes = uniform(random, units) < self.switch_prob
        lam = np.where(
            pastes,
            beta(random, units, self.cutmix_alpha, self.cutmix_alpha),
            beta(random, units, self.mixup_alpha, self.mixup_alpha),
        )
        lam[~(uniform(random, units) < self.mix_prob)] = 1
        if not self.mixup_enabled:
            lam[:] = 1
        box = whole_boxes(random, sizes, lam)
        if self.cutmix_minmax is not None:
            box = boxes_between(random, sizes, units, *self.cutmix_minmax)
        area = (box[..., 1] - box[..., 0]).prod(-1)
        return np.where(pastes & (lam < 1), 1 - area / max(int(np.prod(sizes)), 1), lam), box, pastes


def _mode(mode: str) -> str:
    if mode not in _MODES:
        fix = "It belongs to timm's FastCollateMixup, which collates two batches to one." if mode == "half" else ""
        raise FeatmixError("Mixup", "mode", expected=f"one of {', '.join(_MODES)}", got=repr(mode), fix=fix)
    return mode


def _sides(sides: Sequence[float]) -> tuple[float, float]:
    low, high = sides if len(sides) == 2 else (-1.0, -1.0)
    if not 0 <= low <= high <= 1:
        expected = "the least and the largest side, parts of the image's in [0, 1]"
        raise FeatmixError("Mixup", "cutmix_minmax", expected=expected, got=repr(sides))
    return float(low), float(high)
