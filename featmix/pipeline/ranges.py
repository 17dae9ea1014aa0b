"""Checks that the range of images fits the transforms and the normalization, on the first batches only.

Colour transforms expect images in [0, 1] and clip other values; mean and standard deviation belong to images in some unit. A
contradiction is only a warning, with a fix, since the values may look so by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from featmix.pipeline.normalization import WIDEST, Normalization
from featmix.support.warning import warn

_SLACK = 0.25  # over [0, 1], that interpolation may overshoot
_FAR = 0.75
_BYTES = 3.0  # a value that no image in [0, 1] has
_CLOSE = 1e-6
_TRIES = 8  # batches that are looked at for clipping, where they lie outside [0, 1]
_SCALE = "Divide by 255, or hand over bytes (uint8): those are divided by 255 in the batch."
_ONCE = "Leave Normalize out of sample=, batch= and the data set."
_LAST = f"Normalize last: Pipeline(normalize=(mean, std)). {_ONCE}"


@dataclass(frozen=True)
class Range:
    """The smallest and largest value of a batch of images, its mean and its standard deviation."""

    low: float
    high: float
    mean: float
    std: float

    @classmethod
    def of(cls, x: Tensor) -> Range | None:
        """Measure a batch; ``None`` if it is empty, or not finite."""
        if not x.numel() or not (x.is_floating_point() or x.dtype == torch.uint8):
            return None
        values = x.detach().float()
        values = values / 255 if x.dtype == torch.uint8 else values
        numbers = torch.stack([values.amin(), values.amax(), values.mean(), values.std(correction=0)])
        return cls(*numbers.tolist()) if bool(numbers.isfinite().all()) else None

    @property
    def beyond(self) -> bool:
        """Whether values are outside [0, 1]."""
        return self.low < -_SLACK or self.high > 1 + _SLACK

    def __str__(self) -> str:
        return f"images from {self.low:.3g} to {self.high:.3g}"


class Ranges:
    """Checks the first batches that go through ``prepare``, and warns once of each contradiction.

    Args:
        normalization: The normalization, applied last, or ``None``.
    """

    def __init__(self, normalization: Normalization | None) -> None:
        self._normalization = normalization
        self._left = _TRIES
        self._looked_at: set[bool] = set()  # in training mode, in eval mode
        self.awaits_evaluation = normalization is not None

    @property
    def awaits_transformed(self) -> bool:
        """Whether batches before and after a transform are still checked."""
        return self._left > 0

    def transformed(self, given: Tensor, done: Tensor, argument: str = "batch") -> None:
        """Check a batch before and after a part of a pipeline, until one is clipped or lies within [0, 1].

        Args:
            given: ``(B, ...)``, before.
            done: The batch after the part, of any size.
            argument: Name of the part.
        """
        if not self._left:
            return
        self._left -= 1
        before = Range.of(given)
        if before is None or not before.beyond or given.dtype == torch.uint8:
            self._left = 0
            return
        share = _clipped(given, done)
        if share:
            self._left = 0
            warn(
                "Pipeline",
                argument,
                expected="images in [0, 1], as transforms of colours take them",
                got=f"{before}, of which {share:.0%} of the values were clipped",
                fix=_LAST if before.low < -_SLACK else _SCALE,
            )

    def normalized(self, x: Tensor, *, training: bool) -> None:
        """Check the first batch before its normalization, in training and in eval mode."""
        if self._normalization is None or training in self._looked_at:
            return
        self._looked_at.add(training)
        found = contradiction(Range.of(x), self._normalization)
        if found is not None:
            expected, got, fix = found
            warn("Pipeline", "normalize", expected=expected, got=got, fix=fix)

    def evaluated(self, x: Tensor) -> None:
        """Check the first batch of a forward in eval mode: without values below 0, it was probably not normalized."""
        self.awaits_evaluation = False
        seen, by = Range.of(x), self._normalization
        if seen is None or by is None or not by.is_of_unit or seen.low < 0 or not seen.std:
            return
        warn(
            "Pipeline",
            "normalize",
            expected="normalized images in evaluation too",
            got=f"a forward in eval mode with {seen}",
            fix="images = mixer.prepare(images) in evaluation as in training, or a data set of pipeline.eval_dataset.",
        )


def contradiction(seen: Range | None, by: Normalization) -> tuple[str, str, str] | None:
    """Return why images do not fit a mean and a standard deviation: expected, got and fix; ``None`` if they do.

    Example:
        >>> unit = Normalization.of(((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        >>> contradiction(Range(0, 255, 120.0, 60.0), unit)[1]
        'images from 0 to 255'
        >>> contradiction(Range(-2.1, 2.6, 0.0, 1.0), unit)[1]
        'images from -2.1 to 2.6, which look normalized already'
    """
    if seen is None:
        return None
    unit = by.is_of_unit
    if unit and seen.low >= -_SLACK and seen.high > _BYTES:
        return "images in [0, 1], as mean and std say", str(seen), _SCALE
    shifted = max(map(abs, by.mean)) > 1.5 or not 0.3 < max(by.std) < 3
    wide = seen.std > WIDEST or seen.low < -_FAR  # wider than noise makes images in [0, 1]
    if (unit and seen.low < -_SLACK and wide) or (shifted and seen.low < 0 and abs(seen.mean) < 0.5 and 0.5 < seen.std < 1.5):
        fix = f"{_ONCE} Those of pipeline.eval_dataset are ready, and go into the model without prepare."
        return "images that are not normalized yet", f"{seen}, which look normalized already", fix
    if not unit and seen.low >= 0 and seen.high <= 1 + _SLACK and min(by.mean) > 1.5 and min(by.std) > 4 * seen.std:
        fix = "Give mean and std of images in [0, 1], those for bytes divided by 255."
        return "images in the units of mean and std", f"{seen}", fix
    return None


def _clipped(given: Tensor, done: Tensor) -> float:
    """Return the share of values that a transform clipped to [0, 1], in rows without values outside afterwards.

    Clipped values accumulate at the ends of a row's range; scaled values do not.
    """
    before = ((given < 0) | (given > 1)).flatten(1).float().mean(1)
    after = ((done < 0) | (done > 1)).flatten(1).any(1)
    gathered = _at_ends(done) - _at_ends(given)
    share = torch.where((before > 0.01) & ~after & (gathered > before / 2), before, 0).mean()
    return float(share)


def _at_ends(x: Tensor) -> Tensor:
    """Return the share of a row's values that are its smallest or its largest."""
    rows = x.flatten(1).float()
    low, high = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
    return ((rows <= low + _CLOSE) | (rows >= high - _CLOSE)).float().mean(1)
