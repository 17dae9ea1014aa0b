"""Criteria that are not passed as arguments: an attribute of a module or a function, replaced while a step runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode

from featmix.errors import FeatmixError, nearest
from featmix.mixer.sites import unwrap

Named = str | Callable[..., Any]
Loss = Callable[[Callable[..., Any], Callable[..., Any], Any, Any], Any]
"""Gets the criterion, what calls it as it is, and the arguments of a call; returns the loss."""

_MISSING = object()


class Criteria:
    """One or more criteria of a module, and their replacements during a training step.

    Args:
        who: Who asks, for messages.
        named: Names of attributes, ``"criterion"`` or ``"losses.main"``, and functions, ``F.cross_entropy``.

    Raises:
        FeatmixError: If one is neither.
    """

    def __init__(self, who: str, named: Named | Sequence[Named]) -> None:
        self._who = who
        self._named = list(named) if isinstance(named, Sequence) and not isinstance(named, str) else [named]
        for one in self._named:
            if not (isinstance(one, str) and one) and not callable(one):
                expected = "names of attributes that hold a loss, or loss functions"
                raise FeatmixError(who, "criterion", expected=expected, got=repr(one))

    def __str__(self) -> str:
        names = (f"self.{one}" if isinstance(one, str) else getattr(one, "__name__", repr(one)) for one in self._named)
        return " or ".join(names)

    def check(self, module: nn.Module) -> None:
        """Check that a module has them.

        Raises:
            FeatmixError: If it has no such attribute, or it is none that can be called; the message names what there is.
        """
        for one in self._named:
            self._found(module, one)

    def modules(self, module: nn.Module) -> tuple[nn.Module, ...]:
        """Return those that are modules."""
        found = (self._found(module, one)[-1] for one in self._named)
        return tuple(one for one in found if isinstance(one, nn.Module))

    @contextmanager
    def met(self, module: nn.Module, step: Callable[..., Any], loss: Loss) -> Iterator[None]:
        """Within a ``with`` statement, calls of the criteria go to ``loss``; afterwards everything is as it was.

        Args:
            module: Whose attributes they are.
            step: The function in which they are called.
            loss: What is called in their place.
        """
        with ExitStack() as stack:
            for one in self._named:
                stack.enter_context(self._meeting(module, step, one, loss))
            yield

    def _meeting(self, module: nn.Module, step: Callable[..., Any], one: Named, loss: Loss) -> AbstractContextManager[Any]:
        holder, name, value = self._found(module, one)
        if isinstance(value, nn.Module):
            return _instead(vars(value), "forward", _Met(unwrap(value), value.forward, loss))
        if holder is not None:
            return _instead(vars(holder), name, _Met(value, value, loss))
        if value.__module__.partition(".")[0] == "torch":
            return _MeetingMode(value, loss)
        return _in_namespaces(step, value, _Met(value, value, loss))

    def _found(self, module: nn.Module, one: Named) -> tuple[Any, str, Any]:
        """Return whose attribute a criterion is, its name there, and the criterion."""
        if not isinstance(one, str):
            if isinstance(one, nn.Module) and not any(part is one for part in module.modules()):
                expected = f"the name of an attribute of {type(module).__name__}, or a function"
                raise FeatmixError(
                    self._who, "criterion", expected=expected, got=f"a {type(one).__name__} that it does not have"
                )
            return None, "", one
        holder: Any = module
        *way, name = one.split(".")
        for part in way:
            holder = getattr(holder, part, None)
        value = getattr(holder, name, None)
        if not callable(value):
            raise FeatmixError(
                self._who,
                "criterion",
                expected=f"an attribute of {type(module).__name__} that holds its loss",
                got=f"{one!r}, which it does not have" if value is None else f"{one!r}, a {type(value).__name__}",
                fix=_advice(module, one),
            )
        return holder, name, value


class _Met:
    """Takes the place of a criterion during a step."""

    def __init__(self, criterion: Callable[..., Any], plainly: Callable[..., Any], loss: Loss) -> None:
        self._criterion, self._plainly, self._loss = criterion, plainly, loss

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._loss(self._criterion, self._plainly, args, kwargs)


class _MeetingMode(TorchFunctionMode):
    """Meets calls of one of torch's functions, wherever they are made; it is not asked within itself."""

    def __init__(self, function: Callable[..., Any], loss: Loss) -> None:
        super().__init__()
        self._function, self._loss = function, loss

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is self._function:
            return self._loss(func, func, args, kwargs or {})
        return func(*args, **(kwargs or {}))


@contextmanager
def _instead(namespace: dict[str, Any], name: str, other: Any) -> Iterator[None]:
    """Another value under a name of a namespace, which then has again what it had, or has not."""
    before = namespace.get(name, _MISSING)
    namespace[name] = other
    try:
        yield
    finally:
        if before is _MISSING:
            namespace.pop(name, None)
        else:
            namespace[name] = before


@contextmanager
def _in_namespaces(step: Callable[..., Any], function: Callable[..., Any], other: Any) -> Iterator[None]:
    """Another value under all names that a function has where it is defined, and where the step is."""
    defined = vars(sys.modules.get(getattr(function, "__module__", ""), sys))
    namespaces = {id(space): space for space in (defined, getattr(step, "__globals__", defined))}
    with ExitStack() as stack:
        for space in namespaces.values():
            for name in [name for name, value in space.items() if value is function]:
                stack.enter_context(_instead(space, name, other))
        yield


def _advice(module: nn.Module, one: str) -> str:
    losses = [name for name, part in module.named_modules() if isinstance(part, nn.modules.loss._Loss)]
    others = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
    near = nearest(one, [*losses, *others])
    known = f"It has {', '.join(losses)}: criterion={losses[0]!r}. " if losses else ""
    return f"{known}{near} A function that training_step calls is given as itself: criterion=F.cross_entropy.".strip()
