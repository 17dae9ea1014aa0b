"""The part of a strategy that says what others may expect of it, and what its subclasses say otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic

from torch import Tensor

from featmix.sampling import draws
from featmix.schedule import Schedule
from featmix.strategies.params import P
from featmix.strategies.tags import Tags


class Traits(Generic[P]):
    """The part of a strategy that says what others may expect of it."""

    tags: Tags
    progress: Any
    setting_names: Any

    @property
    def self_is_identity(self) -> bool:
        """True if a row that is its own partner comes out as it went in, within rounding."""
        return True

    @property
    def exact_gradient(self) -> bool:
        """True if backward differentiates the function itself, except for moments that are detached."""
        return not self.tags.stops_gradient

    @property
    def needs_grid(self) -> bool:
        """True if positions have to form a grid."""
        return self.tags.spatial

    @property
    def needs_shape(self) -> bool:
        """True if a decision is made for one shape, which has to be known by then."""
        return self.needs_grid

    @property
    def takes_masks(self) -> bool:
        """True if it can be told of padding. Label weights of real content need to know what is mixed where."""
        return self.tags.masks and not self.tags.mixes_labels

    @property
    def strength_beta(self) -> tuple[float, float] | None:
        """The parameters of the Beta distribution that ``lam`` is from, up to a position; ``None`` where it is from none.

        Both are the setting ``alpha``, where there is one; not of a strategy with places, whose shares come out of those.
        """
        alpha = getattr(self, "alpha", None) if "alpha" in self.setting_names() and not self.tags.spatial else None
        if isinstance(alpha, Schedule):
            alpha = alpha(self.progress)
        return None if not isinstance(alpha, int | float) else (float(alpha), float(alpha))

    @property
    def strength_per(self) -> str | None:
        """Whether ``lam`` is one for the ``batch`` or for each ``sample``; the setting ``lam_per``, ``None`` without."""
        said = getattr(self, "lam_per", None)
        return said if said in draws.PER and "lam_per" in self.setting_names() else None

    def passes_through(self, shape: Sequence[int]) -> bool:
        """Return True if features of this shape come out as they went in, with their labels, whatever is drawn."""
        return False

    def reach(self, params: P, mask: Tensor) -> Tensor:
        """Return which positions may change under a padding mask, ``(B, *positions)`` bool: those real in both samples."""
        return mask & mask.index_select(0, params.partner)

    def can_mix(self, mask: Tensor, partner: Tensor, shape: Sequence[int]) -> Tensor:
        """Return which rows can be mixed at all under a padding mask, ``(B,)`` bool; others keep features and label."""
        return (mask & mask.index_select(0, partner)).flatten(1).any(1)

    def recall(self, params: P, shape: Sequence[int], target: Tensor | None, random: draws.Stream) -> P:
        """Return a decision in view of batches seen before; for strategies that remember any.

        Args:
            params: From ``make_params``, which knows of no other batch.
            shape: Of the features, or ``(B,)``.
            target: Their labels.
            random: The stream that the decision was drawn from.
        """
        return params

    def remember(self, x: Tensor, params: P) -> None:
        """Keep of these features what later decisions need: called once in each training forward, before ``transform``."""

    @property
    def remembers(self) -> bool:
        """True if later decisions need what :meth:`remember` keeps: then it acts on one tensor a step, and keeps it once."""
        ours = type(self).remember.__module__.startswith("featmix.")  # which keeps nothing without a memory
        return getattr(self, "memory", None) is not None or not ours
