"""Which collectives of a forward and a backward pass run, and how many bytes this rank gives to each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class _Collectives(TorchDispatchMode):
    def __init__(self, found: dict[str, list[int]]) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name()
        if name.startswith("_c10d_functional") and "wait" not in name:
            self.found[name.partition("::")[2].partition(".")[0]].append(args[0].nbytes)
        return func(*args, **(kwargs or {}))


@contextmanager
def counted() -> Iterator[dict[str, list[int]]]:
    """Count within a ``with`` statement: bytes of each call, by the name of the collective."""
    found: dict[str, list[int]] = defaultdict(list)
    with _Collectives(found):
        yield found
