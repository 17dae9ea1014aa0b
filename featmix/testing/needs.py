"""What a subject says it needs, and shapes, labels and decisions that fit it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Generator, Tensor

from featmix.errors import FeatmixError
from featmix.layouts import ANY_NDIM, resolve_layout
from featmix.normalizers.base import Normalizer
from featmix.strategies.base import Strategy
from featmix.strategies.params import Params

CLASSES = 5  # where a subject does not say how many it takes
_FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Needs:
    """What a subject takes and no more; see :class:`featmix.Tags`, which has the same fields for strategies."""

    channels: int | None = None
    shapes: tuple[tuple[int, ...], ...] = ()
    classes: int | None = None
    needs_target: bool = False
    dtypes: tuple[torch.dtype, ...] = ()

    def takes(self, sample: Sequence[int], channel: int) -> bool:
        """Return whether one sample of this shape is taken.

        Args:
            sample: Without the batch.
            channel: Index of the channel axis in it.
        """
        if self.shapes:
            return tuple(sample) in self.shapes
        return self.channels in (None, sample[channel])

    @property
    def in_words(self) -> str:
        """What features have to be like: ``64 channels``."""
        if self.shapes:
            return f"samples of shape {' or '.join(str(shape) for shape in self.shapes)}"
        return "any number of channels" if self.channels is None else f"{self.channels} channels"


def needs(subject: Strategy | Normalizer) -> Needs:
    """Read what a strategy's tags, or a normalizer's attributes of these names, say.

    Raises:
        FeatmixError: If they say something that cannot be.

    Example:
        >>> import featmix as fm
        >>> needs(fm.MoEx()).in_words
        'any number of channels'
    """
    said = subject.tags if isinstance(subject, Strategy) else subject
    usual = Needs()
    return _checked(
        subject.name or type(subject).__name__,
        *(_frozen(getattr(said, name, default)) for name, default in vars(usual).items()),
    )


def _frozen(value: Any) -> Any:
    return tuple(_frozen(one) for one in value) if isinstance(value, list | tuple) else value


@lru_cache(maxsize=256)
def _checked(who: str, channels: Any, shapes: Any, classes: Any, needs_target: Any, dtypes: Any) -> Needs:
    for name, value in (("channels", channels), ("classes", classes)):
        if value is not None and not _whole(value):
            raise FeatmixError(who, name, expected="a whole number from 1 up, or None", got=repr(value))
    fits = isinstance(shapes, tuple) and all(isinstance(one, tuple) and one and all(map(_whole, one)) for one in shapes)
    if not fits or len({len(shape) for shape in shapes}) > 1:
        raise FeatmixError(
            who,
            "shapes",
            expected="shapes of one sample, all of the same number of axes",
            got=repr(shapes),
            fix="Without the batch: shapes=((3, 32, 32),).",
        )
    if not isinstance(needs_target, bool):
        raise FeatmixError(who, "needs_target", expected="True or False", got=repr(needs_target))
    if not isinstance(dtypes, tuple) or any(dtype not in _FLOATS for dtype in dtypes):
        raise FeatmixError(who, "dtypes", expected="floating dtypes", got=repr(dtypes), fix="For example (torch.float32,).")
    return Needs(channels, shapes, classes, needs_target, dtypes)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


# -- shapes ------------------------------------------------------------------------------------------------------------


def layout_name(subject: Strategy | Normalizer) -> str:
    """The layout in which to feed a strategy or normalizer that may not have chosen one."""
    chosen, shapes = subject.layout, needs(subject).shapes
    if shapes:
        return resolve_layout(chosen, (1, *shapes[0]), subject.name).name
    return ANY_NDIM[chosen][4] if chosen in ANY_NDIM else chosen or "bchw"


def channel_multiple(subject: Strategy | Normalizer) -> int:
    """Return a number that the number of channels must be a multiple of."""
    norm = subject if isinstance(subject, Normalizer) else getattr(subject, "normalizer", None)
    return (norm.groups or norm.width or 1) if norm is not None else 1


def channel_count(subject: Strategy | Normalizer, groups: int) -> int:
    """Return so many groups of channels, or the one number of channels that the subject takes."""
    said = needs(subject)
    if said.shapes:
        return said.shapes[0][layout_name(subject).index("c") - 1]
    return said.channels or groups * channel_multiple(subject)


def sample_shape(subject: Strategy | Normalizer, *, positions: int = 5, groups: int = 4) -> tuple[int, ...]:
    """The shape of one ordinary sample for a strategy or a normalizer; of its own shapes the first.

    Example:
        >>> import featmix as fm
        >>> sample_shape(fm.MoEx("gn2"))
        (8, 5, 5)
    """
    shapes = needs(subject).shapes
    if shapes:
        return shapes[0]
    channels = channel_count(subject, groups)
    return tuple(channels if letter == "c" else positions for letter in layout_name(subject)[1:])


def takes(subject: Strategy | Normalizer, sample: Sequence[int]) -> bool:
    """Return whether the subject takes samples of this shape, as far as it says."""
    return needs(subject).takes(sample, layout_name(subject).index("c") - 1)


# -- decisions ---------------------------------------------------------------------------------------------------------


def class_count(strategy: Strategy) -> int:
    """Return how many classes labels are to be of."""
    return needs(strategy).classes or CLASSES


def target_for(strategy: Strategy, batch: int) -> Tensor:
    """Class indices ``(B,)`` for a batch of this size, the same at every call."""
    return torch.randint(class_count(strategy), (batch,), generator=Generator().manual_seed(batch))


def decide(strategy: Strategy, shape: Sequence[int], seed: int | Generator, **given: Any) -> Params:
    """Make a decision, with labels for a strategy that needs them; ``given`` goes to ``make_params``.

    Example:
        >>> import featmix as fm
        >>> decide(fm.Mixup(), (2, 3, 4, 4), 0).partner
        tensor([1, 0])
    """
    generator = seed if isinstance(seed, Generator) else Generator().manual_seed(seed)
    if needs(strategy).needs_target:
        given = {"target": target_for(strategy, shape[0]), **given}
    params: Params = strategy.make_params(shape, generator=generator, **given)
    return params


def decision_in_words(strategy: Strategy, shape: str, seed: int) -> str:
    """Return Python that makes the decision that :func:`decide` makes, of a ``subject`` and a shape in words."""
    target = f", target=target_for(subject, {shape}[0])" if needs(strategy).needs_target else ""
    return f"subject.make_params({shape}, generator=torch.Generator().manual_seed({seed}){target})"
