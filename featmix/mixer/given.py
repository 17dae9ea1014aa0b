"""Which tensor is the batch: of what ``draw`` is given, and of the arguments that the model is called with."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from featmix.errors import FeatmixError, nearest
from featmix.mixer.containers import Path, by_name, child_at, paths, step_to
from featmix.strategies.border import how_to_batch

NAMES = ("images", "pixel_values", "input_values", "inputs_embeds")  # what models call their batch
_LABELS = ("label", "labels", "target", "targets", "y")
_SAY_WHICH = "Say which with attach(..., input=...): an argument's name, its position, or a key."


@dataclass(frozen=True)
class Wanted:
    """The argument that a user names with ``input=``, and the model's arguments in order.

    Args:
        name: An argument's name or a dictionary's key, an argument's position, or ``None`` where nothing was said.
        arguments: The names of the model's positional arguments.

    Raises:
        FeatmixError: If it is none of these.
    """

    name: str | int | None = None
    arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        usual = isinstance(self.name, str | int) and not isinstance(self.name, bool) and self.name != ""
        if self.name is not None and (not usual or (isinstance(self.name, int) and self.name < 0)):
            expected = "the name of an argument, a key, or a position from 0"
            raise FeatmixError("attach", "input", expected=expected, got=repr(self.name))

    @classmethod
    def of(cls, model: nn.Module, name: str | int | None) -> Wanted:
        """Return what is wanted of a model's arguments."""
        try:
            parameters = list(inspect.signature(model.forward).parameters.values())
        except (TypeError, ValueError):
            parameters = []
        return cls(name, tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)))

    def in_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Path | None:
        """Return the path in ``(args, kwargs)`` of what is wanted of a call; ``None`` where it is not there."""
        if isinstance(self.name, int):
            place, name = self.name, self.arguments[self.name] if self.name < len(self.arguments) else None
        else:
            place, name = self.arguments.index(self.name) if self.name in self.arguments else len(args), self.name
        if place < len(args):
            return 0, place
        return (1, name) if name in kwargs else _by_key((args, kwargs), name)

    def in_batch(self, images: Any) -> Path | None:
        """Return the path of what is wanted of that which ``draw`` is given."""
        if isinstance(images, Mapping):
            way = self.in_call((), images)
            return way and way[1:]
        if isinstance(images, tuple) and not hasattr(images, "_fields"):
            way = self.in_call(images, {})
            return way and way[1:]
        return _by_key(images, self.name) if isinstance(self.name, str) else _step(images, self.name)


@dataclass(frozen=True)
class Given:
    """The batch that was decided for, as far as is needed to know it again. It is not kept alive."""

    reference: weakref.ref[Tensor]
    rows: int
    sample: tuple[int, ...]
    dtype: torch.dtype
    wanted: Wanted = field(default_factory=Wanted)

    @classmethod
    def of(cls, x: Tensor, wanted: Wanted) -> Given:
        """Return what is to be known of a batch."""
        return cls(weakref.ref(x), len(x), tuple(x.shape[1:]), x.dtype, wanted)

    def places_in(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Path]:
        """Return where the batch stands among a model's arguments: paths in ``(args, kwargs)``, all of one tensor.

        It is what ``input=`` says, else the very tensor that was drawn for, or one that shares its memory, else the only one
        of its shape that has its dtype or was cast on the way. Labels by name, such as ``labels=``, are none of these, unless
        they are the batch itself.

        Raises:
            FeatmixError: If there is none, or two tensors may be it.
        """
        given = (args, kwargs)
        within: Path = ()
        if self.wanted.name is not None:
            way = self.wanted.in_call(args, kwargs)
            within = self._refuse(f"the argument {self.wanted.name!r}", "none of that name") if way is None else way
        alike = [
            ((*within, *path), x)
            for path, x in paths(child_at(given, within))
            if x.ndim and x.shape[1:] == self.sample and (x.dtype == self.dtype or x.is_floating_point())
        ]
        inputs = [(path, x) for path, x in alike if within or not _is_label(self._named(path))]
        if not torch.compiler.is_compiling() and (known := self.reference()) is not None:
            if any(x is known for _, x in inputs):
                return [path for path, x in alike if x is known]
            same = [path for path, x in inputs if _shares(x, known)]
            if same:
                return same
        if len(inputs) > 1 and _several(inputs):
            inputs = [(path, x) for path, x in inputs if x.shape[0] == self.rows] or inputs
        if not inputs:
            self._refuse(f"a tensor of samples of shape {self.sample} among the model's arguments", "none")
        if _several(inputs):
            several = ", ".join(_told(path) for path, _ in inputs)
            fix = f"Draw for the very tensor that goes into the model. {_SAY_WHICH}"
            self._refuse("one tensor like the one that was drawn for", f"{several}, of one shape", fix)
        return [path for path, x in alike if x is inputs[0][1]]

    def _named(self, path: Path) -> Path:
        """Return a path with the name of a positional argument in the place of its number."""
        arguments = self.wanted.arguments
        return (arguments[path[1]], *path[2:]) if path[0] == 0 and path[1] < len(arguments) else path[1:]

    def _refuse(self, expected: str, got: str, fix: str = "Draw for the batch that goes into the model.") -> Path:
        raise FeatmixError("attach", "input", expected=expected, got=got, fix=fix)


def batch_of(images: Any, wanted: Wanted, *, who: str, mixed: bool) -> Tensor:
    """Return the batch among what ``draw`` is given: a tensor itself, or of a container what is wanted or has a usual name.

    Args:
        images: A tensor, or a container of arguments or of what a loader gives.
        wanted: What ``input=`` says.
        who: Who asks, for messages.
        mixed: Whether something is mixed at the input; otherwise only the number of rows counts, and any tensor tells it.

    Raises:
        FeatmixError: If there is none, or two tensors may be it.
    """
    x = images if isinstance(images, Tensor) else _chosen(images, wanted, who, mixed)
    if x.ndim == 0:
        raise FeatmixError(who, "images", expected="a batch", got="a single number")
    return x


def _chosen(images: Any, wanted: Wanted, who: str, mixed: bool) -> Tensor:
    within: Path = ()
    if wanted.name is not None:
        way = wanted.in_batch(images)
        if way is None:
            keys = [str(key) for path, _ in paths(images) for key in path]
            expected = f"a batch with {wanted.name!r} in it, which input= names"
            raise FeatmixError(who, "images", expected=expected, got=type(images).__name__, fix=nearest(str(wanted.name), keys))
        within = way
        images = child_at(images, within)
        if isinstance(images, Tensor):
            return images
    piled = list(_lists_of_samples(images))
    found = [(path, x) for path, x in paths(images) if not any(path[: len(way)] == way for way in piled)]
    named = [(path, x) for path, x in found if by_name(images, path)[-1:] and by_name(images, path)[-1] in NAMES]
    if len(named) == 1:
        return named[0][1]
    batches = named or [
        (path, x) for path, x in found if x.is_floating_point() and x.ndim > 1 and not _is_label(by_name(images, path))
    ]
    if len({id(x) for _, x in batches}) == 1:
        return batches[0][1]
    if not mixed:
        rows = batches or [(path, x) for path, x in found if x.ndim and not _is_label(by_name(images, path))]
        if rows and len({len(x) for _, x in rows}) == 1:
            return rows[0][1]
    if piled:
        first = child_at(images, piled[0])
        got = f"a list of {len(first)} tensors, the first of shape {tuple(first[0].shape)}"
        fix = "A list of samples is no batch: stack them, or draw for the tensor that goes into the model."
        raise FeatmixError(who, "images", expected="a batch, in one tensor", got=got, fix=fix)
    if not found and not isinstance(images, Mapping | list | tuple):
        raise FeatmixError(
            who, "images", expected="a batch, in one tensor", got=type(images).__name__, fix=how_to_batch(images)
        )
    got = ", ".join(f"{_told((0, *by_name(images, path)))} {tuple(x.shape)}" for path, x in batches) or type(images).__name__
    expected = "a batch: a tensor, or a container with one floating tensor of samples or with one called " + ", ".join(NAMES)
    raise FeatmixError(who, "images", expected=expected, got=got, fix=_SAY_WHICH)


def _lists_of_samples(value: Any, way: Path = ()) -> Iterator[Path]:
    """Return the paths of lists that hold floating maps and nothing else: of samples, for all that can be seen."""
    if isinstance(value, list) and value and all(isinstance(x, Tensor) and x.is_floating_point() and x.ndim > 1 for x in value):
        yield way
    elif isinstance(value, Mapping | list | tuple):
        for key, child in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _lists_of_samples(child, (*way, key))


def _several(found: list[tuple[Path, Tensor]]) -> bool:
    first = found[0][1]
    return any(x is not first for _, x in found)


def _is_label(path: Path) -> bool:
    return any(isinstance(key, str) and key.lower() in _LABELS for key in path)


def _by_key(value: Any, name: Any) -> Path | None:
    """Return the only path that comes past a key, as far as that key."""
    named = [(path, by_name(value, path)) for path, _ in paths(value)] if isinstance(name, str) else []
    ways = {path[: names.index(name) + 1] for path, names in named if name in names}
    return ways.pop() if len(ways) == 1 else None


def _step(value: Any, position: int | None) -> Path | None:
    key = None if position is None else step_to(value, position)
    return None if key is None else (key,)


def _shares(x: Tensor, known: Tensor) -> bool:
    """Return whether two tensors are one in memory, as those are that backward or a wrapper detached."""
    if x.shape != known.shape or x.dtype != known.dtype or x.device != known.device or x.device.type == "meta":
        return False
    return x.layout == torch.strided == known.layout and x.is_set_to(known)


def _told(path: Path) -> str:
    """Return an argument's place in words; ``path`` begins with 0 for positional arguments and 1 for named ones."""
    return ".".join(f"argument {key}" if not k and isinstance(key, int) else str(key) for k, key in enumerate(path[1:]))
