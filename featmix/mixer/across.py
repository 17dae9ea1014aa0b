"""The part of a mixer that decides together with other ranks: for trees with strategies that have ``across=``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import torch
from torch import Generator, Tensor

from featmix.across.link import Link, linked
from featmix.across.meeting import Meeting, Said, fingerprint, meet
from featmix.errors import FeatmixError
from featmix.labels.composing import LabelStep, composed
from featmix.labels.mixture import Mixture, made
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
        """Check that labels can follow what a row takes from another rank.

        Args:
            order: Leaves in the order in which labels compose.

        Raises:
            FeatmixError: If a strategy mixes labels on each rank by itself between two that do it with other ranks, or before
                one and with a memory: what it does is told to other ranks once, and what it remembers is not.
        """
        mixing = [leaf for leaf in order if leaf.strategy.tags.mixes_labels]
        for place, alone in enumerate(mixing):
            if alone.strategy.across is not False:
                continue
            beside = [leaf for leaf in mixing if leaf.strategy.across is not False and not _exclusive(self.tree, alone, leaf)]
            later = next((leaf for leaf in beside if mixing.index(leaf) > place), None)
            between = any(mixing.index(leaf) < place for leaf in beside)
            if later is not None and (between or alone.strategy.remembers):
                first, second = (f"{type(leaf.strategy).__name__} at {leaf.place}" for leaf in (alone, later))
                raise FeatmixError(
                    "attach",
                    "across",
                    expected="what mixes labels on each rank alone before all that has across=, without a memory, or after it",
                    got=f"{first} before {second}",
                    fix=f"Take them in turn, OneOf([...]), or leave out across= at {later.place}.",
                )

    def label_steps(
        self, drawn: Mapping[str, Params], order: Sequence[str], leaves: Mapping[str, At], meeting: Meeting
    ) -> list[LabelStep | None]:
        """Return what each decision does to labels: those of ranks that decided together as one, and what came before in it.

        A row of another rank brings what earlier decisions made of its label there. Where these are of each rank alone, ranks
        tell each other once more.
        """
        steps = [leaves[key].label_step(drawn[key]) for key in order]
        together = [k for k, key in enumerate(order) if steps[k] is not None and drawn[key].whole is not None]
        if not together:
            return steps
        mixing = [k for k, key in enumerate(order) if leaves[key].strategy.tags.mixes_labels and k < together[-1]]
        alone = [k for k in mixing if leaves[order[k]].strategy.across is False]
        parts = [whole for k in together if (whole := drawn[order[k]].whole) is not None]
        if alone:
            rows = meeting.sizes[meeting.link.rank]
            parts.insert(0, _told(composed(rows, (steps[k] for k in alone)), meeting))
        elif len(together) < 2:
            return steps
        mixture = localized(reduce(Mixture.then, parts), meeting)
        joined = LabelStep(leaves[order[together[-1]]].place, mixture, grid=None, spatial=False, parts=_parts(mixture))
        known = {*together, *alone}
        return [joined if k == together[-1] else None if k in known else step for k, step in enumerate(steps)]


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


def _told(own: Mixture, meeting: Meeting) -> Mixture:
    """Return what all ranks made of their labels, each by itself, as one mixture of all rows."""
    rows, room = len(own), meeting.room
    said = torch.zeros(rows, room + 1)
    said[:, :rows] = own.matrix()
    said[:, room] = 1 if own.scale is None else own.scale
    told = meet(_WHO, meeting.link, Said((0, 0), rows, target=said, settings=room)).target
    shares = torch.zeros(0, room + 1) if told is None else told
    starts = torch.tensor(meeting.starts).repeat_interleave(torch.tensor(meeting.sizes))
    columns = max(1, int((shares[:, :room] > 0).sum(1).max())) if len(shares) else 1
    weight, index = shares[:, :room].topk(columns, dim=1)
    index = starts.unsqueeze(1) + torch.where(weight > 0, index, 0)
    scale = shares[:, room].clone()
    return made(index, weight, scale=None if bool((scale == 1).all()) else scale)


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
