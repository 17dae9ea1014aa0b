"""The exchange of one draw: each rank sends its number of rows and its labels, and all ranks get the same information."""

from __future__ import annotations

import re
import struct
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING, Any
from zlib import crc32

import torch
from torch import Tensor, distributed

from featmix.across.link import Link
from featmix.errors import FeatmixError

if TYPE_CHECKING:  # there are builds of torch without it
    from torch.distributed import ProcessGroup

PATIENCE = 300.0  # seconds for which a rank waits for the others: some may be evaluating still, or write a checkpoint
_SIGN = 0xFEA7313  # the first word of what a rank says
_HEAD = struct.Struct("<18q")
_ROOM = 1 << 10  # bytes for rows, labels and domains in the first message; it grows to what is needed
_MOST_AXES = 6
_DTYPES = (
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
)


@dataclass(frozen=True)
class Said:
    """The information that one rank sends for a draw.

    Args:
        key: Two numbers that seed its draw; those of the first rank are used by all.
        rows: Number of rows of its batch.
        progress: In [0, 1]; that of the first rank is used by all.
        target: Its labels ``(rows, ...)``; ``None`` if not given.
        domain: ``(rows,)`` its domain labels; ``None`` if not given.
        chosen: ``(rows,)`` bool, which of its rows may be mixed; ``None`` for all.
        sits_out: Whether it does not take part in this step, so that nothing is mixed on any rank.
        settings: A fingerprint of the strategies' settings.
    """

    key: tuple[int, int]
    rows: int
    progress: float = 0.0
    target: Tensor | None = None
    domain: Tensor | None = None
    chosen: Tensor | None = None
    sits_out: bool = False
    settings: int = 0


@dataclass(frozen=True)
class Meeting:
    """The information of all ranks for one draw.

    Args:
        link: The ranks.
        key: Seed of the decision, the same on all ranks.
        sizes: Number of rows of each rank.
        progress: Progress of the first rank.
        target: Labels of all rows of all ranks, in the order of ranks; ``None`` if not given.
        domain: Domain labels, likewise.
        chosen: Which rows may be mixed, likewise.
        sits_out: Whether a rank does not take part.
    """

    link: Link
    key: tuple[int, int]
    sizes: tuple[int, ...]
    progress: float
    target: Tensor | None
    domain: Tensor | None
    chosen: Tensor | None
    sits_out: bool

    @property
    def count(self) -> int:
        """Number of rows of all ranks."""
        return sum(self.sizes)

    @property
    def room(self) -> int:
        """Largest number of rows of a rank."""
        return max(self.sizes)

    @property
    def starts(self) -> list[int]:
        """Index of each rank's first row among the rows of all ranks."""
        return list(accumulate(self.sizes[:-1], initial=0))

    @property
    def own(self) -> slice:
        """Rows of this rank among the rows of all ranks."""
        first = self.starts[self.link.rank]
        return slice(first, first + self.sizes[self.link.rank])


class _Channel:
    """A channel between ranks that is only used for draws, so that they cannot meet a collective of a training step.

    It is not registered as a group in torch, whose names depend on the number of groups of a rank.
    """

    def __init__(self, parent: ProcessGroup, link: Link, number: int) -> None:
        self.parent, self.number = weakref.ref(parent), number
        self.room, self.calls, self.sent, self.broken = _ROOM, 0, 0, False
        from torch._C._distributed_c10d import PrefixStore

        store = PrefixStore(f"featmix/across/{link.name}/{number}", distributed.distributed_c10d._get_default_store())
        self._gloo: Any = distributed.ProcessGroupGloo(store, link.rank, link.size, timedelta(seconds=PATIENCE))

    def exchange(self, message: bytes, size: int) -> list[bytes]:
        """Send a message to all ranks and return theirs, all of the same length.

        All messages are sent at the same time, while an all-gather of gloo passes them from rank to rank, one after the other.
        """
        own = torch.frombuffer(bytearray(message), dtype=torch.uint8).repeat(size)
        found = torch.empty_like(own)
        self._gloo.alltoall_base(found, own, [], []).wait(timedelta(seconds=PATIENCE))
        self.sent += len(message)
        return [bytes(part.numpy().data) for part in found.chunk(size)]


_channels: dict[str, _Channel] = {}


def meet(who: str, link: Link, said: Said) -> Meeting:
    """Exchange the information of all ranks; each of them has to call this.

    It takes one exchange, and a second one if a rank has a longer message than any rank before.

    Args:
        who: Name of the caller, for messages.
        link: The ranks.
        said: The information of this rank.

    Raises:
        FeatmixError: If a rank does not draw, or ranks have other settings or labels of another kind.
    """
    body = _body(who, said)
    head = _head(said, len(body))
    channel = _channel(who, link)
    try:
        room = channel.room
        found = channel.exchange(head + body[:room].ljust(room, b"\0"), link.size)
        heads = [_HEAD.unpack_from(each) for each in found]
        parts = [each[_HEAD.size :] for each in found]
        needed = max(each[7] for each in heads)
        if needed > room:
            channel.room = needed
            parts = channel.exchange(body.ljust(needed, b"\0"), link.size)
    except RuntimeError as error:
        channel.broken = True
        raise _missing(who, link, channel, error) from error
    channel.calls += 1
    return _understood(who, link, heads, parts)


def fingerprint(settings: object) -> int:
    """Return a number that is the same for settings with the same repr, apart from memory addresses.

    Example:
        >>> fingerprint(object()) == fingerprint(object()), fingerprint(0.5) == fingerprint(0.6)
        (True, False)
    """
    return crc32(re.sub(r" at 0x[0-9a-f]+", "", repr(settings)).encode())


def bytes_sent(link: Link) -> int:
    """Return how many bytes this rank has sent for its draws so far, to each of the others."""
    channel = _channels.get(link.name)
    return 0 if channel is None else channel.sent


def _channel(who: str, link: Link) -> _Channel:
    parent, known = link.group, _channels.get(link.name)
    same = known is not None and known.parent() is parent
    if known is not None and same and not known.broken:
        return known
    if not distributed.is_gloo_available():
        raise FeatmixError(who, "across", expected="a torch with gloo, by which ranks meet for a draw", got="one without")
    try:
        made = _channels[link.name] = _Channel(parent, link, known.number + 1 if known is not None and same else 0)
    except RuntimeError as error:
        raise _missing(who, link, None, error) from error
    return made


def _missing(who: str, link: Link, channel: _Channel | None, error: Exception) -> FeatmixError:
    """Return the error of a rank that waited too long; it names the ranks that did not come."""
    absent = "others"
    try:
        store = distributed.distributed_c10d._get_default_store()
        name = f"featmix/across/{link.name}/missed/{0 if channel is None else channel.calls}"
        store.set(f"{name}/{link.rank}", "here")
        time.sleep(min(1.0, PATIENCE))
        silent = [rank for rank in range(link.size) if not store.check([f"{name}/{rank}"])]
        absent = f"none from rank {', '.join(map(str, silent))}" if silent else "others gave up"
    except RuntimeError:  # the store went away with the rank that kept it
        pass
    first = " ".join(str(error).split())[:120]
    return FeatmixError(
        who,
        expected=f"a draw on each of the {link.size} ranks within {PATIENCE:g} seconds",
        got=f"{absent} ({first})",
        fix="With across=, every rank draws for every step; one that has no batch calls mixer.skip().",
    )


def _head(said: Said, length: int) -> bytes:
    target = said.target
    kind = -1 if target is None else _DTYPES.index(target.dtype)
    axes = [] if target is None else list(target.shape[1:])
    flags = said.sits_out | (said.domain is not None) << 1 | (said.chosen is not None) << 2
    progress = struct.unpack("<q", struct.pack("<d", said.progress))[0]
    first, second = (struct.unpack("<q", struct.pack("<Q", number % 2**64))[0] for number in said.key)
    words = [_SIGN, said.settings, first, second, said.rows, flags, progress, length, kind, len(axes), *axes]
    return _HEAD.pack(*words, *[0] * (18 - len(words)))


def _body(who: str, said: Said) -> bytes:
    target = said.target
    if target is not None and (target.dtype not in _DTYPES or target.ndim - 1 > _MOST_AXES):
        expected = f"labels of an ordinary dtype, of up to {_MOST_AXES} axes a row"
        raise FeatmixError(who, "target", expected=expected, got=f"{target.dtype} {tuple(target.shape)}")
    given = (target, said.domain if said.domain is None else said.domain.to(torch.int64), said.chosen)
    return b"".join(_bytes(each) for each in given if each is not None)


def _bytes(t: Tensor) -> bytes:
    return bytes(t.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data) if t.numel() else b""


def _understood(who: str, link: Link, heads: Sequence[tuple[int, ...]], parts: Sequence[bytes]) -> Meeting:
    settings = {rank: each[:2] for rank, each in enumerate(heads)}
    _check_same(who, "across", settings, "the same strategies, with the same settings, on all ranks")
    rows = [each[4] for each in heads]
    taking = [k for k, each in enumerate(heads) if rows[k]]
    kinds: dict[int, Any] = {k: (heads[k][8], *heads[k][9 : 10 + heads[k][9]]) for k in taking}
    _check_same(who, "target", kinds, "labels of one dtype and shape on all ranks")
    _check_same(who, "domain", {k: heads[k][5] & 2 for k in taking}, "domain labels on all ranks or on none")
    kind = kinds[taking[0]] if taking else (-1, 0)
    targets, domains, chosen = [], [], []
    for k in taking:
        at = 0
        if kind[0] >= 0:
            dtype, shape = _DTYPES[kind[0]], tuple(kind[2:])
            length = rows[k] * prod(shape) * dtype.itemsize
            targets.append(_tensor(parts[k][at : at + length], dtype).view(rows[k], *shape))
            at += length
        if heads[k][5] & 2:
            domains.append(_tensor(parts[k][at : at + 8 * rows[k]], torch.int64))
            at += 8 * rows[k]
        all_rows = torch.ones(rows[k], dtype=torch.bool)
        chosen.append(_tensor(parts[k][at : at + rows[k]], torch.bool) if heads[k][5] & 4 else all_rows)
    some = any(heads[k][5] & 4 for k in taking)
    first = heads[0]
    return Meeting(
        link,
        (first[2] % 2**64, first[3] % 2**64),
        tuple(rows),
        struct.unpack("<d", struct.pack("<q", first[6]))[0],
        torch.cat(targets) if targets else None,
        torch.cat(domains) if domains else None,
        torch.cat(chosen) if some else None,
        any(each[5] & 1 for each in heads),
    )


def _tensor(data: bytes, dtype: torch.dtype) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).view(dtype) if data else torch.empty(0, dtype=dtype)


def _check_same(who: str, what: str, values: Mapping[int, Any], expected: str) -> None:
    first = next(iter(values), 0)
    others = [str(rank) for rank, value in values.items() if value != values[first]]
    if others:
        raise FeatmixError(who, what, expected=expected, got=f"others on rank {', '.join(others)} than on rank {first}")
