"""Marks that ``torch.compile`` reads, set without importing it: that import costs seconds, and most programs never compile."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, TypeVar

import torch

_F = TypeVar("_F", bound=Callable[..., Any])
_T = TypeVar("_T")


def constant_when_traced(function: _F) -> _F:
    """Call the function while tracing and keep its result as a constant: ``torch.compiler.assume_constant_result``."""
    vars(function)["_dynamo_marked_constant"] = True
    return function


def never_traced(function: _F) -> _F:
    """Run the function as plain Python if compiled code calls it, at a graph break: ``torch.compiler.disable``."""
    vars(function)["_torchdynamo_disable"] = True
    vars(function)["_torchdynamo_disable_msg"] = "it draws random numbers on the host: compile the model alone, or draw outside"
    run_as_plain_python(function)
    return function


def run_as_plain_python(function: Callable[..., Any]) -> None:
    """Leave the function, and what it calls, uncompiled where it is a frame of its own, yet traceable inside a larger one.

    The hooks of a compiled model itself are such frames, beside the graph of its forward. Left to the compiler, a hook that
    touches tensors is one more graph. ``torch.compiler.disable`` would do the first half, but break the larger graph.
    """
    frames = torch._C._dynamo.eval_frame
    if hasattr(frames, "set_code_exec_strategy"):  # elsewhere the hook costs that graph, and nothing is wrong
        skip = frames._FrameExecStrategy(frames._FrameAction.SKIP, frames._FrameAction.SKIP)
        frames.set_code_exec_strategy(function.__code__, skip)


def noted(function: Callable[[_T], None], value: _T) -> None:
    """Call a function of compiled code that sets an attribute, also in a part that is checkpointed.

    There the compiler refuses it by default, for backward, which runs that part again, does not set it again. A torch that
    offers no way round that goes on refusing it, which is no silence.
    """
    allowed = getattr(torch._dynamo.utils, "_disable_side_effect_safety_checks_for_current_subtracer", None)
    if allowed is None:
        function(value)
    else:
        allowed(function, value)


class _Eager:
    """What is compiled runs as plain Python while anybody wants it to: the stance is the whole process's, not a thread's."""

    def __init__(self) -> None:
        self._lock, self._wishes, self._stance = threading.Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._wishes += 1
            if self._wishes == 1 and "torch._dynamo" in sys.modules:  # else nothing is compiled
                self._stance.enter_context(torch.compiler.set_stance("force_eager"))

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._wishes -= 1
            if not self._wishes:
                self._stance.close()


_EAGER = _Eager()


def uncompiled() -> AbstractContextManager[None]:
    """Run what is compiled as plain Python within a ``with`` statement; nothing is compiled for a single call.

    Example:
        >>> with uncompiled():
        ...     float(torch.ones(1) + 1)
        2.0
    """
    return _EAGER
