"""A decision that all ranks make together: one rank's part of it, and the moments of the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from featmix.across.link import Link
from featmix.across.meeting import Meeting
from featmix.across.wires import Gathering
from featmix.labels.mixture import Mixture, made
from featmix.normalizers.moments import Moments
from featmix.strategies.params import Params

P = TypeVar("P", bound=Params)


def of_this_rank(whole: P, meeting: Meeting) -> P:
    """Return the rows of one rank of a decision for those of all.

    Args:
        whole: As it would be made for one batch of all ranks' rows, in the order of ranks.
        meeting: What ranks know of each other.
    """
    own, count = meeting.own, meeting.sizes[meeting.link.rank]
    changes: dict[str, Any] = {name: value[own].clone() for name, value in whole.per_row().items()}
    partner = changes["partner"].numpy()
    ranks = np.searchsorted(np.cumsum(meeting.sizes), partner, side="right")
    lender = ranks * meeting.room + partner - np.asarray(meeting.starts, dtype=np.int64)[ranks]
    changes["partner"] = torch.from_numpy(_seen_from(partner, own.start, count))
    changes["mixture"] = localized(whole.mixture, meeting)
    part = replace(whole, **changes)
    present = torch.arange(meeting.room) < torch.tensor(meeting.sizes).unsqueeze(1)
    vars(part).update(is_tied=whole.is_tied, rests=whole.rests, link=meeting.link, present=present)
    vars(part).update(lender=torch.from_numpy(lender), whole=whole.mixture)
    return part


def localized(whole: Mixture, meeting: Meeting) -> Mixture:
    """Return one rank's rows of what the labels of all become: rows of others come after its own, with their labels.

    Args:
        whole: Of all rows.
        meeting: What ranks know of each other.
    """
    own, count = meeting.own, meeting.sizes[meeting.link.rank]
    index, weight = whole.index[own].numpy(), whole.weight[own].clone()
    scale = None if whole.scale is None else whole.scale[own].clone()
    here = (index >= own.start) & (index < own.stop)
    first = 1 if here[:, 0].all() else 0  # a row's own share comes first, as a rule
    if here.all() and (meeting.target is None or index.shape[1] == 1):
        return made(torch.from_numpy(index - own.start), weight, scale=scale)
    columns = index.shape[1] - first
    places = count + np.arange(count * columns).reshape(count, columns)
    seen = index - own.start
    seen[:, first:] = np.where(here[:, first:], seen[:, first:], places)
    beyond = None if meeting.target is None else meeting.target[torch.from_numpy(index[:, first:].reshape(-1).copy())]
    return made(torch.from_numpy(seen), weight, beyond, scale)


def begun(lent: Moments, link: Link, present: Tensor) -> Gathering:
    """Send what this rank's rows lend to all ranks; the result is asked for when it is needed.

    Args:
        lent: Moments of this rank's rows.
        link: The ranks.
        present: ``(ranks, room)``, which rows each of them has.
    """
    return Gathering(torch.stack([lent.mean, lent.std], dim=1), present.shape[1], link)


def arrived(gathering: Gathering) -> Moments:
    """Return the moments of all ranks' rows, ``(ranks * room, ...)``."""
    return Moments(*gathering.wait().unbind(1))


def _seen_from(rows: Any, start: int, count: int) -> Any:
    """Return rows of all ranks as one of them numbers them: its own from 0, then the others in order."""
    others = np.where(rows < start, rows + count, rows)
    return np.where((rows >= start) & (rows < start + count), rows - start, others)
