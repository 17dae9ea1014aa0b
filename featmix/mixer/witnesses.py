"""Which axis of features holds the channels, as the layers say that are called on the way to them: compared in one dry run.

A layer says how many channels it gives, and most layers on which axis. Where features at a site have the shape of what the
last layer gave, their channels are on the same axis; where they only have axes of the same sizes, or as many elements on
another number of axes, they were put in another order, and the axis of that size is the one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

from torch import nn

from featmix.layouts import ANY_NDIM, Layout
from featmix.mixer.containers import first_tensor
from featmix.mixer.evidence import contradiction, is_over_last
from featmix.strategies.base import Strategy

_GIVES = ("out_channels", "out_features", "num_features", "num_channels", "embedding_dim", "normalized_shape")
_TAKES = ("in_channels", "in_features", "num_features", "num_channels", "normalized_shape")
_CONVS = (nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.GroupNorm)
_POSITIONS = {3: "n", 4: "hw", 5: "dhw"}


@dataclass(frozen=True)
class Called:
    """A layer that was called.

    Args:
        layer: The layer.
        took: The shape of what it was given.
        gave: The shape of what it returned.
    """

    layer: nn.Module
    took: tuple[int, ...]
    gave: tuple[int, ...]


@dataclass
class Witnesses:
    """The layers that a forward called, in that order.

    Attributes:
        called: All of them so far.
    """

    called: list[Called] = field(default_factory=list)

    def check_input(self, strategy: Strategy, shape: Sequence[int]) -> None:
        """Check how a strategy reads the model's input, against the layer that takes it.

        Raises:
            FeatmixError: If the layer has its channels on another axis.
        """
        taker = next(iter(self.called), None)
        if taker is not None:
            _check(strategy, "input", shape, taker.layer, taker.took, _TAKES)

    def check(self, strategy: Strategy, site: str, module: nn.Module, shape: Sequence[int], *, until: int) -> None:
        """Check how a strategy reads what a module returned, against the last layer in it, or before it.

        Args:
            strategy: What is to act there.
            site: The name of the module.
            module: The module.
            shape: Of what it returned.
            until: How many layers had been called by then.

        Raises:
            FeatmixError: If the layer has its channels on another axis.
        """
        before, inside = self.called[:until][::-1], set(module.modules())
        giver = next((one for one in before if one.layer in inside), next(iter(before), None))
        if giver is not None:
            _check(strategy, site, shape, giver.layer, giver.gave, _GIVES)


@contextmanager
def witnessing(root: nn.Module) -> Iterator[Witnesses]:
    """Note which layers of a model are called."""
    witnesses = Witnesses()

    def note(layer: nn.Module) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, args: Any, output: Any) -> None:
            took, gave = first_tensor(args), first_tensor(output)
            if took is not None and gave is not None:
                witnesses.called.append(Called(layer, tuple(took.shape), tuple(gave.shape)))

        return hook

    handles = [layer.register_forward_hook(note(layer)) for layer in root.modules() if _is_layer(layer)]
    try:
        yield witnesses
    finally:
        for handle in handles:
            handle.remove()


def _is_layer(module: nn.Module) -> bool:
    return _count(module, _GIVES) is not None and not any(_count(one, _GIVES) is not None for one in _below(module))


def _below(module: nn.Module) -> Iterator[nn.Module]:
    return (one for one in module.modules() if one is not module)


def _count(layer: nn.Module, names: Sequence[str]) -> int | None:
    for name in names:
        found = vars(layer).get(name)  # properties might compute, or fail
        if isinstance(found, tuple) and len(found) == 1:
            (found,) = found
        if isinstance(found, int) and not isinstance(found, bool):
            return found
    return None


def _check(
    strategy: Strategy, site: str, shape: Sequence[int], layer: nn.Module, seen: tuple[int, ...], names: Sequence[str]
) -> None:
    said = strategy.layout is not None and strategy.layout not in ANY_NDIM
    if said or len(shape) not in _POSITIONS:  # what is said is believed
        return
    lay, count = strategy.layout_of(shape), _count(layer, names)
    axis = _channel_axis(lay, tuple(shape), layer, seen, count)
    if axis is not None and axis != lay.channel:
        others = "thw" if (len(shape), axis) == (5, 2) else _POSITIONS[len(shape)]
        name = f"b{others[: axis - 1]}c{others[axis - 1 :]}"
        source = f"{type(layer).__name__} with {count} channels"
        raise contradiction(type(strategy).__name__, site, read_as=lay.name, source=source, name=name)


def _channel_axis(
    lay: Layout, shape: tuple[int, ...], layer: nn.Module, seen: tuple[int, ...], count: int | None
) -> int | None:
    """Return the axis of the channels, if there is a reason to take it for another than the layout does."""
    if shape == seen and isinstance(layer, _CONVS):
        return 1
    if shape == seen and (is_over_last(layer) or isinstance(layer, nn.Linear | nn.Embedding)):
        return len(shape) - 1
    moved = sorted(shape) == sorted(seen) if len(shape) == len(seen) else prod(shape) == prod(seen)
    if not moved or shape[lay.channel] == count:
        return None
    fitting = [axis for axis in range(1, len(shape)) if shape[axis] == count]
    return fitting[-1] if fitting else None
