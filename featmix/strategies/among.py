"""The part of a strategy that decides together with other ranks."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar

from torch import Generator, Tensor

from featmix.across.link import Across, Link, checked_across
from featmix.across.meeting import Meeting, Said, fingerprint, meet
from featmix.errors import FeatmixError
from featmix.sampling import draws
from featmix.strategies.across import of_this_rank
from featmix.strategies.tags import Tags


class AmongRanks:
    """The part of a strategy that has the setting ``across``.

    Attributes:
        across: With which ranks partners are shared; see :class:`featmix.Strategy`.
        lends_moments: Whether moments are all that a row takes from others, so that ranks can share them.
    """

    tags: Tags
    drawn: Any  # the decision for one batch
    _who: Any
    across: Across = False
    lends_moments: ClassVar[bool] = False

    def __setattr__(self, name: str, value: Any) -> None:
        """Check ``across`` whenever it is set: a group may be given after the strategy was read from a file."""
        if name == "across":
            value = checked_across(self._who, value)
            if value is not False:
                self.check_across()
            vars(self)[name] = value
            return
        super().__setattr__(name, value)

    def check_across(self) -> None:
        """Check that partners may be on other ranks.

        Raises:
            FeatmixError: If a row takes more than moments from others.
        """
        if not self.lends_moments:
            registry = import_module(f"{__package__}.registry")  # it knows all classes that derive from this one
            raise FeatmixError(
                self._who,
                "across",
                expected="False, for a strategy that takes features from its partner",
                got="ranks, between which only moments travel",
                fix=f"Across ranks work {registry.across_works()}.",
            )

    def _drawn_with(
        self, link: Link, shape: tuple[int, ...], generator: Generator | None, progress: float, given: dict[str, Any]
    ) -> Any:
        """Make the decision of one step together with other ranks."""
        self.check_given_across(self._who, **given)
        said = Said(
            draws.key_of(generator),
            shape[0],
            progress,
            given["target"],
            given["domain"],
            given["rows"],
            settings=fingerprint(self),
        )
        meeting = meet(self._who, link, said)
        with draws.borrowed(key=meeting.key) as random:
            return self.drawn_among(meeting, shape, random)

    def check_given_across(self, who: str, *, target: Tensor | None, partner: Any, mask: Any, **_: Any) -> None:
        """Check what a draw is given that ranks make together.

        Raises:
            FeatmixError: If labels are missing that go along with moments, or something is there that other ranks cannot know.
        """
        if partner is not None and self.tags.partnered:
            expected, got = "None, for a strategy with across=", "partners of this rank's batch"
            raise FeatmixError(who, "partner", expected=expected, got=got, fix="All ranks draw them together.")
        if mask is not None:
            expected, got = "None, for a strategy with across=", "padding"
            raise FeatmixError(who, "mask", expected=expected, got=got, fix="Where there is padding, leave out across=.")
        if target is None and self.tags.mixes_labels:
            expected, got = "the labels, which other ranks take a share of", "no target"
            raise FeatmixError(who, "target", expected=expected, got=got, fix="Pass target= when drawing.")

    def drawn_among(
        self, meeting: Meeting, shape: Sequence[int], random: draws.Stream, *, partner: Tensor | None = None
    ) -> Any:
        """Make the decision for the rows of all ranks, and return this rank's part of it.

        Args:
            meeting: What ranks know of each other.
            shape: Of this rank's features, or ``(B,)``.
            random: The stream that all ranks share.
            partner: Partners of all rows, where they are drawn already.
        """
        whole = self.drawn(
            (meeting.count, *shape[1:]),
            random,
            domain=meeting.domain,
            partner=partner,
            rows=meeting.chosen,
            progress=meeting.progress,
        )
        return of_this_rank(whole, meeting)
