"""The setting ``across``, and the ranks that it means at a draw."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from torch import distributed
from torch.utils.data import get_worker_info

from featmix.across.cost import MOST_RANKS
from featmix.errors import FeatmixError, told

if TYPE_CHECKING:  # there are builds of torch without it
    from torch.distributed import ProcessGroup

Word: TypeAlias = Literal["all", "node"]
Across: TypeAlias = "bool | Word | Group | Any"
"""False, True, a word, a process group, or a ``DeviceMesh`` of one dimension."""
WORDS: tuple[str, ...] = get_args(Word)
_nodes: dict[int, tuple[ProcessGroup, ProcessGroup]] = {}  # by what the default group is: itself, and this node's part of it


@dataclass(frozen=True)
class Group:
    """A process group by its name, so that a strategy that holds one can be copied and sent.

    Args:
        name: Its name in torch, in this process.
    """

    name: str


@dataclass(frozen=True)
class Link:
    """Two or more ranks that mix together, from the view of one of them.

    Args:
        name: Name of their process group.
        size: Number of ranks.
        rank: This rank in the group.
    """

    name: str
    size: int
    rank: int

    @property
    def group(self) -> ProcessGroup:
        """Their process group."""
        return _resolved(self.name)


def checked_across(who: str, value: Across) -> Across:
    """Return the setting ``across`` in the form that strategies store: groups and meshes by the name of the group.

    Raises:
        FeatmixError: If the value is invalid.

    Example:
        >>> checked_across("MoEx", "node")
        'node'
    """
    if isinstance(value, bool | Group) or (isinstance(value, str) and value in WORDS):
        return value
    if distributed.is_available() and isinstance(value, distributed.ProcessGroup):
        return _named(who, value)
    mesh: Any = value  # a class of torch's that would be imported for this alone
    if hasattr(mesh, "get_group") and hasattr(mesh, "mesh"):
        if mesh.ndim != 1:
            names = mesh.mesh_dim_names or ("...",)
            fix = f"Say which dimension: mesh[{names[0]!r}]; of several, mesh[...]._flatten()."
            got = f"one of {mesh.ndim} dimensions"
            raise FeatmixError(who, "across", expected="a device mesh of one dimension", got=got, fix=fix)
        return _named(who, mesh.get_group())
    expected = f"True, False, {' or '.join(map(repr, WORDS))}, a process group or a device mesh of one dimension"
    raise FeatmixError(who, "across", expected=expected, got=told(value))


def linked(who: str, across: Across) -> Link | None:
    """Return the ranks that a setting means; ``None`` if there is only this one, or if it mixes by itself.

    Args:
        who: Name of the caller, for messages.
        across: Result of :func:`checked_across`.

    Raises:
        FeatmixError: If the group no longer exists, this rank is not in it, it is unknown which ranks share a node, or this
            process is a data loader worker.

    Example:
        >>> linked("MoEx", True) is None  # no process group: the batch is that of this process
        True
    """
    if across is False or not distributed.is_available():
        return None
    if get_worker_info() is not None and (distributed.is_initialized() or os.environ.get("WORLD_SIZE", "1") != "1"):
        fix = "Mix in the training process, such as in an attached model."
        raise FeatmixError(who, "across", expected="a draw where ranks meet", got="one in a worker of a data loader", fix=fix)
    if not distributed.is_initialized():
        return None
    group = _group(who, across)
    size, rank = distributed.get_world_size(group), distributed.get_rank(group)
    if rank < 0:
        fix = "Each rank gives the group that it is in."
        raise FeatmixError(who, "across", expected="a group that this rank is in", got="another one", fix=fix)
    return None if size == 1 else Link(group.group_name, size, rank)


def _group(who: str, across: Across) -> ProcessGroup:
    if isinstance(across, Group):
        try:
            return _resolved(across.name)
        except (RuntimeError, ValueError) as error:
            fix = "After init_process_group, give the new group: strategy.across = group."
            raise FeatmixError(who, "across", expected="a process group", got="one that is gone", fix=fix) from error
    whole = distributed.distributed_c10d._get_default_group()
    near = across == "node" or (across is True and whole.size() > MOST_RANKS and "LOCAL_WORLD_SIZE" in os.environ)
    return _node(who, whole) if near else whole


def _node(who: str, whole: ProcessGroup) -> ProcessGroup:
    """Return the group of the ranks on this node, made at the first use."""
    known = _nodes.get(id(whole))
    if known is not None and known[0] is whole:
        return known[1]
    count = int(os.environ.get("LOCAL_WORLD_SIZE", "0"))
    if count < 1 or whole.size() % count:
        fix = "Start the ranks by torchrun, or give the process group of each node: across=group."
        got = f"LOCAL_WORLD_SIZE={count} of {whole.size()} ranks" if count else "no LOCAL_WORLD_SIZE"
        raise FeatmixError(who, "across", expected="as many ranks on each node", got=got, fix=fix)
    first = whole.rank() // count * count
    made = whole
    if count < whole.size():
        made = distributed.new_group(list(range(first, first + count)), use_local_synchronization=True)
    _nodes.clear()
    _nodes[id(whole)] = (whole, made)
    return made


def _resolved(name: str) -> ProcessGroup:
    found: ProcessGroup = vars(distributed.distributed_c10d)["_resolve_process_group"](name)
    return found


def _named(who: str, group: ProcessGroup) -> Group:
    try:
        return Group(group.group_name)
    except RuntimeError as error:
        expected, got = "a group that init_process_group or new_group made", "one without a name"
        raise FeatmixError(who, "across", expected=expected, got=got) from error
