"""How many operations a call gives to torch's dispatcher: what a machine does not change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.seen += 1
        return func(*args, **(kwargs or {}))


def operations(call: Callable[[], object], *, tries: int = 8) -> int:
    """The most that one of some calls takes: what is drawn can change how many there are."""
    most = 0
    for _ in range(tries):
        with _Counter() as counter:
            call()
        most = max(most, counter.seen)
    return most
