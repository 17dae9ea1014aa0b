"""The part of a mixer that decides together with other ranks: for trees with strategies that have ``across=``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

from torch import Generator, Tensor

from featmix.across.link import Link, linked
from featmix.across.meeting import Meeting, Said, fingerprint, meet
from featmix.errors import FeatmixError
from featmix.labels.composing import LabelStep
from featmix.labels.mixture import Mixture
from featmix.mixer.tree import At, OneOf, Request, Tree
from featmix.sampling.draws import Stream, borrowed, key_of
from featmix.strategies.across import localized
from featmix.strategies.border import check_rows
from featmix.strategies.params import Params

_WHO = "Mixer.draw"


class Company:
    """The ranks that strategies of a tree decide with.

    Args:
        tree: What is attached.

    Raises:
        FeatmixError: If its strategies decide with different ones.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._all = tree.leaves()

    @property
    def leaves(self) -> list[At]:
        """Those that decide with other ranks, if there are any; ``across`` may be set at any time."""
        return [leaf for leaf in self._all if leaf.strategy.across is not False]

    def link(self) -> Link | None:
        """Return the ranks; ``None`` where this one decides for itself."""
        wanted = {leaf.strategy.across for leaf in self.leaves}
        if not wanted:
            return None
        if len(wanted) > 1:
            got = ", ".join(sorted(map(str, wanted)))
            raise FeatmixError("attach", "across", expected="one value for all strategies of a tree that have it", got=got)
        return linked("attach", wanted.pop())

    def meet(self, link: Link, key: tuple[int, int], batch: Tensor, progress: float, given: Mapping[str, Any]) -> Meeting:
        """Return what all ranks know of this draw.

        Args:
            link: The ranks.
            key: Of this one's generator.
            batch: This rank's.
            progress: As the mixer has it.
            given: What ``draw`` was given beside the batch.
        """
        for leaf in self.leaves:
            mask = given["mask"]
            here = mask.get(leaf.site) if isinstance(mask, Mapping) else mask
            leaf.strategy.check_given_across(_WHO, **{**given, "mask": here})
        said = Said(key, len(batch), progress, given["target"], given["domain"], given["rows"], settings=fingerprint(self.tree))
        return meet(_WHO, link, said)

    def sit_out(self, link: Link, key: tuple[int, int]) -> None:
        """Tell all ranks that this one takes no part in their draw."""
        meet("Mixer.skip", link, Said(key, 0, sits_out=True, settings=fingerprint(self.tree)))

    def check_labels(self, order: Sequence[At]) -> None:
        """Check that what a row takes from another rank has the labels that it came with.

        Args:
            order: Leaves in the order in which labels compose.

        Raises:
            FeatmixError: If one mixes labels on each rank by itself, before one that takes shares of them from other ranks.
        """
        mixing = [leaf for leaf in order if leaf.strategy.tags.mixes_labels]
        for place, later in enumerate(mixing):
            for before in mixing[:place] if later.strategy.across is not False else ():
                if before.strategy.across is False and not _exclusive(self.tree, before, later):
                    first, second = (f"{type(leaf.strategy).__name__} at {leaf.place}" for leaf in (before, later))
                    raise FeatmixError(
                        "attach",
                        "across",
                        expected="labels that no strategy has mixed on its rank alone before they go to other ranks",
                        got=f"{first} before {second}",
                        fix=f"Take them in turn, OneOf([...]), or leave out across= at {later.place}.",
                    )

    def label_steps(
        self, drawn: Mapping[str, Params], order: Sequence[str], leaves: Mapping[str, At], meeting: Meeting
    ) -> list[LabelStep | None]:
        """Return what each decision does to labels: those of ranks that decided together as one, the first.

        A row of another rank brings what earlier decisions made of its label there.
        """
        steps = [leaves[key].label_step(drawn[key]) for key in order]
        together = [k for k, key in enumerate(order) if steps[k] is not None and drawn[key].whole is not None]
        if len(together) < 2:
            return steps
        parts = [whole for k in together if (whole := drawn[order[k]].whole) is not None]
        mixture = localized(reduce(Mixture.then, parts), meeting)
        place = leaves[order[together[0]]].place
        joined = LabelStep(place, mixture, grid=None, spatial=False, parts=_parts(mixture))
        return [joined if k == together[0] else None if k in together else step for k, step in enumerate(steps)]


class Together:
    """The part of a :class:`~featmix.Mixer` that meets other ranks for a draw."""

    _company: Company
    _leaves: dict[str, At]
    _order: list[str]
    _progress: float
    _draws: int | None

    def skip(self) -> None:
        """Take no part in one draw of all ranks: on a rank that has no batch for a step that others make.

        Nothing is mixed in this step, on any rank. Where no strategy has ``across=``, or this rank is alone, there is nobody
        to tell, and nothing is drawn.

        Raises:
            FeatmixError: If the other ranks do not draw.

        Example:
            >>> import featmix as fm
            >>> from torch import nn
            >>> mixer = fm.attach(nn.Sequential(nn.Conv2d(3, 8, 3)), {"0": fm.MixStyle(across=True)})
            >>> mixer.skip()
        """
        if link := self._link():
            self._company.sit_out(link, key_of(self._seeded()))
            if self._draws is not None:
                self._draws += 1

    def _seeded(self) -> Generator:
        raise NotImplementedError

    def _request(self, x: Tensor, random: Stream, given: dict[str, Any]) -> Request:
        raise NotImplementedError

    def _link(self) -> Link | None:
        return self._company.link()

    def _meet(self, link: Link, x: Tensor, given: dict[str, Any]) -> Meeting:
        check_rows(_WHO, len(x), target=given["target"], domain=given["domain"])
        self._company.check_labels([self._leaves[key] for key in self._order])
        self._own_key = key_of(self._seeded())
        return self._company.meet(link, self._own_key, x, self._progress, given)

    def _drawn_among(self, meeting: Meeting, x: Tensor, given: dict[str, Any]) -> dict[str, Params]:
        """Return one decision for each leaf; those that are this rank's alone are drawn from a stream of its own."""
        first, second = self._own_key
        with borrowed(key=meeting.key) as shared, borrowed(key=(first, second + 1)) as random:
            request = replace(self._request(x, random, given), meeting=meeting, shared=shared)
            return dict(zip(self._leaves, self._company.tree.draw(request), strict=True))


def _parts(mixture: Mixture) -> Any:
    def parts(shares: Tensor) -> list[tuple[Tensor, Tensor]]:
        columns = zip(mixture.index.T, mixture.weight.T, strict=True)
        return [(rows, shares[rows] * weight.view(-1, *[1] * (shares.ndim - 1))) for rows, weight in columns]

    return parts


def _exclusive(tree: Tree, one: At, other: At) -> bool:
    """Return whether two leaves never act in one step."""
    if isinstance(tree, At):
        return False
    within = [[leaf for leaf in member.leaves() if leaf is one or leaf is other] for member in tree.members]
    for member, found in zip(tree.members, within, strict=True):
        if len(found) == 2:
            return _exclusive(member, one, other)
    return isinstance(tree, OneOf)
