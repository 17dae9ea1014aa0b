"""What a strategy acts on of that which a module returns: one tensor, the one that was asked for, or several alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from featmix.errors import FeatmixError
from featmix.mixer.containers import Path, child_at, names_in, paths, put, step_to
from featmix.mixer.tree import INPUT, At

_Found = list[tuple[list[Path], Tensor]]  # different tensors, each with all the places where it stands

_SEQUENCES_FIRST = (
    nn.RNNBase,
    nn.MultiheadAttention,
    nn.Transformer,
    nn.TransformerEncoder,
    nn.TransformerDecoder,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
)
_LAYERS = 4  # as many as recurrent layers often have: there (layers, B, H) looks like (B, positions, C)
_SELECT = "Say which with At(site, strategy, output=...), by index or name; what the rest of the model reads is up to you then."


def act_on(leaf: At, rows: int, value: Any, act: Callable[[Tensor], Tensor]) -> Any:
    """Return what a module returned with a strategy's action on it; containers are rebuilt.

    Args:
        leaf: The strategy at its site.
        rows: How many rows the decision is for.
        value: A tensor, or a container of some.
        act: The action on one tensor.

    Raises:
        FeatmixError: If no tensor has these rows, or it is not clear which are meant.
    """
    if isinstance(value, Tensor) and leaf.output is None:
        if value.ndim == 0 or value.shape[0] != rows:
            raise _wrong_rows(leaf, rows, value)
        return act(value)
    found = selected(leaf, value, rows)
    if len(found) > 1:
        return _each(leaf, found, value, act)
    (places, x), *_ = found
    y = act(x)
    return put(value, dict.fromkeys(places, y))


def _each(leaf: At, found: _Found, value: Any, act: Callable[[Tensor], Tensor]) -> Any:
    """Return the container with several tensors acted on alike, each by its own shape."""
    strategy = leaf.strategy
    changes: dict[Path, Tensor] = {}
    if strategy.remembers:
        raise _unclear(leaf, "one tensor, for a strategy that remembers features", _shapes(found))
    for places, x in found:
        try:
            inert = strategy.passes_through(strategy.body_shape(x.shape))
            y = None if inert else act(x)
        except FeatmixError as error:
            raise _unclear(leaf, f"outputs that can all be mixed alike ({error.expected})", _shapes(found)) from error
        if y is None:
            raise _unclear(leaf, "outputs that all have something to exchange", f"shape {tuple(x.shape)} among them")
        changes.update(dict.fromkeys(places, y))
    return put(value, changes)


def selected(leaf: At, value: Any, rows: int | None) -> _Found:
    """Return the tensors that a strategy acts on: all that hold samples, or what ``output=`` says of them.

    Args:
        leaf: The strategy at its site.
        value: What the module returned.
        rows: How many rows the decision is for; ``None`` where that is not known.

    Raises:
        FeatmixError: If there is none, or a tensor beside them may hold samples along another axis than the first.
    """
    start = way_to(leaf, value)
    everything = _without_copies((start + path, x) for path, x in paths(child_at(value, start)))
    features = [(places, x) for places, x in everything if x.is_floating_point() or x.is_complex()]
    if rows is None:
        return features[:1] or everything[:1]
    if any(isinstance(child_at(value, path[:-1]), PackedSequence) for places, _ in features for path in places):
        raise _unclear(leaf, f"tensors of {rows} rows", "a PackedSequence, whose rows are steps of all sequences")
    found = [(places, x) for places, x in features if x.ndim and x.shape[0] == rows]
    if not found and not features:
        found = [(places, x) for places, x in everything if x.ndim > 1 and x.shape[0] == rows]
    if not found:
        if len(features) == 1 or not everything:
            raise _wrong_rows(leaf, rows, features[0][1] if features else value)
        raise _unclear(leaf, f"a tensor of {rows} rows", _shapes(features or everything))
    square = [x for _, x in found if x.ndim == 3 and x.shape[1] == rows]
    if square and len(found) > 1 and 1 < rows <= _LAYERS:
        raise _unclear(leaf, "a first axis that is the batch and not the layers of a state", _shapes(found))
    astray = [x for places, x in features if x.ndim > 1 and _may_hold(x, rows)]
    if astray:
        got = f"one of shape {tuple(astray[0].shape)} beside {_shapes(found)}"
        raise _unclear(leaf, f"outputs that all have the {rows} rows of the batch along their first axis", got)
    return found


def shape_met(leaf: At, value: Any, rows: int | None) -> tuple[int, ...] | None:
    """Return the shape of one sample there, for decisions that need to know it; ``None`` without a tensor.

    Raises:
        FeatmixError: As for :func:`selected`, and where a decision would be made for one of several resolutions.
    """
    if next(paths(value), None) is None:
        return None
    if isinstance(value, Tensor) and leaf.output is None:
        if rows is not None and (value.ndim == 0 or value.shape[0] != rows):
            raise _wrong_rows(leaf, rows, value)
        return tuple(value.shape[1:])
    found = selected(leaf, value, rows)
    shapes = [tuple(x.shape) for _, x in found]
    if leaf.strategy.needs_shape and len(shapes) > 1:
        try:
            sizes = {leaf.strategy.layout_of(shape).spatial_shape(shape) for shape in shapes}
        except FeatmixError as error:
            raise _unclear(leaf, f"outputs of one layout ({error.expected})", _shapes(found)) from error
        if len(sizes) > 1:
            raise _unclear(leaf, "outputs of one resolution, for a decision that is made for one", _shapes(found))
    return shapes[0][1:]


def check_places(leaves: Iterable[At], modules: dict[str, nn.Module]) -> None:
    """Check what is known of sites before a forward: where the batch is, and that no two strategies contradict each other.

    Args:
        leaves: Strategies at sites.
        modules: The modules of the sites, by name.

    Raises:
        FeatmixError: If a module's outputs do not begin with the batch, or two strategies that mix labels act on different
            outputs of one module.
    """
    outputs: dict[tuple[str, int | None], Path] = {}
    for leaf in leaves:
        module = modules.get(leaf.site)
        if isinstance(module, _SEQUENCES_FIRST):
            _check_batch_first(leaf, module)
        if leaf.strategy.tags.mixes_labels:
            first = outputs.setdefault((leaf.site, leaf.call), leaf.way)
            if first != leaf.way:
                raise FeatmixError(
                    "attach",
                    repr(leaf.site),
                    expected="strategies that mix labels to act on the same outputs of a module",
                    got=f"output={first or None} and output={leaf.way or None}",
                    fix="Each would mix the labels for features that the other leaves as they are.",
                )


def _check_batch_first(leaf: At, module: nn.Module) -> None:
    told = (getattr(m, "batch_first", None) for m in module.modules())
    if not next((first for first in told if first is not None), True):
        raise FeatmixError(
            "attach",
            leaf.site,
            expected="a module that returns the batch along the first axis",
            got=f"a {type(module).__name__} with batch_first=False",
            fix="Make it with batch_first=True, or attach to a module before or behind it.",
        )
    if isinstance(module, nn.RNNBase) and leaf.way != (0,):
        raise FeatmixError(
            "attach",
            leaf.site,
            expected="output=0, the features at each step",
            got="all outputs" if leaf.output is None else f"output={leaf.output!r}",
            fix="The states that it returns beside them are (layers, B, H): mix them where the model has made features of "
            "them, or say output=0 if it reads the features alone.",
        )


def way_to(leaf: At, value: Any) -> Path:
    """Return the path of the output that a leaf names in what its module returned; the whole where it names none.

    Raises:
        FeatmixError: If there is no such output.
    """
    way: Path = ()
    for step in leaf.way:
        here = child_at(value, way)
        key = step_to(here, step)
        if key is None:
            known = ", ".join(names_in(here)) or type(here).__name__
            raise FeatmixError("attach", leaf.site, expected=f"an output {step!r} to act on", got=known)
        way = (*way, key)
    return way


def _without_copies(found: Iterable[tuple[Path, Tensor]]) -> _Found:
    once: _Found = []
    for path, x in found:
        for places, known in once:
            if known is x:
                places.append(path)
                break
        else:
            once.append(([path], x))
    return once


def _may_hold(x: Tensor, rows: int) -> bool:
    """Return whether samples may lie in a tensor that has not their rows: along another axis, or several rows each."""
    return x.shape[0] != rows and rows > 1 and (rows in x.shape[1:] or (x.shape[0] > rows and x.shape[0] % rows == 0))


def _shapes(found: _Found) -> str:
    return ", ".join(f"{_name(places[0])} {tuple(x.shape)}" for places, x in found)


def _name(path: Path) -> str:
    return ".".join(map(str, path)) or "a tensor"


def _unclear(leaf: At, expected: str, got: str) -> FeatmixError:
    return FeatmixError("attach", leaf.place, expected=expected, got=got, fix=_SELECT)


def _wrong_rows(leaf: At, rows: int, value: Any) -> FeatmixError:
    if not isinstance(value, Tensor):
        return FeatmixError("attach", leaf.site, expected="a module that returns a tensor", got=type(value).__name__)
    count, clips = value.shape[0] if value.ndim else 0, rows // leaf.groups
    fix = "Draw for the batch that goes through the model; under data parallelism each rank draws for its own."
    if count > clips and count % clips == 0 and leaf.site != INPUT:
        fix = (
            f"If these are {count // clips} rows a sample, such as the frames of a clip, say At(site, strategy, "
            f"groups={count // clips}): they then share a decision. They have to lie one sample after the other."
        )
    return FeatmixError(
        "attach",
        leaf.place,
        expected=f"features of the {rows} rows that were drawn for",
        got=f"{count} rows, shape {tuple(value.shape)}",
        fix=fix,
    )
