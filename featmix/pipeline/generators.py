"""The generators that a transform draws from: seeded from one number, and restored if other code uses them too."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache, partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from featmix.pipeline.origin import parts_of
from featmix.pipeline.still import draws_nothing
from featmix.seeding import albumentations_within

_OWN = ("albumentations.",)  # draw from generators of their own alone
_TORCH = ("torchvision.transforms.v2.", "kornia.", "torch.")  # draw from torch's default generator alone
_FUNCTIONS = (FunctionType, BuiltinFunctionType, MethodType, partial)
_64 = (1 << 64) - 1


def mixed(key: int, position: int) -> int:
    """Return a pseudorandom number for a position in a stream, different for each position (SplitMix64).

    Example:
        >>> len({mixed(key, position) for key in range(10) for position in range(10)})
        100
    """
    z = (key + (position + 1) * 0x9E3779B97F4A7C15) & _64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _64
    return (z ^ (z >> 31)) >> 1


class _Python(random.Random):
    """A generator with Python's interface that draws from one of NumPy, so that both are seeded at once."""

    def __new__(cls, _: np.random.Generator) -> _Python:
        """Make it without a seed, since it has none of its own."""
        return super().__new__(cls)

    def __init__(self, drawn: np.random.Generator) -> None:
        self._drawn = drawn
        super().__init__()
        self.random = drawn.random  # type: ignore[method-assign] # without a call of Python's around it

    def random(self) -> float:
        """Return a number in [0, 1)."""
        return self._drawn.random()

    def getrandbits(self, k: int) -> int:
        """Return a whole number of ``k`` bits."""
        return int.from_bytes(self._drawn.bytes((k + 7) // 8), "little") >> (-k % 8)

    def seed(self, *_: Any) -> None:
        """Forget the second of two normal numbers; everything else is seeded by NumPy."""
        self.gauss_next = None

    def __reduce__(self) -> Any:
        return _shared, ()


_BEGINNING: Any = {"bit_generator": "PCG64", "state": {"state": 0, "inc": 1}, "has_uint32": 0, "uinteger": 0}


@cache
def _drawn() -> tuple[np.random.PCG64, np.random.Generator, _Python]:
    """Return the generators for transforms that have their own: the bit generator, and NumPy's and Python's interface to it."""
    bits = np.random.PCG64(0)  # at the first use: NumPy's random numbers take a while to import
    drawn = np.random.Generator(bits)
    return bits, drawn, _Python(drawn)


def _shared() -> random.Random:
    return _drawn()[2]


class Sources:
    """The generators that a transform draws from.

    Transforms of albumentations have generators of their own, those of torchvision v2 and kornia use torch's default generator.
    Anything else may use any global generator, torch's, NumPy's or Python's, unless its code shows that it draws nothing.

    Args:
        transforms: One or several transforms; ``None`` draws nothing.

    Attributes:
        none: Whether there is nothing to seed.
    """

    def __init__(self, *transforms: Any) -> None:
        parts = [part for transform in transforms for part in parts_of(transform)]
        homes = {_home(part) for part in parts if not draws_nothing(part)}
        self._everything = any(not home.startswith((*_OWN, *_TORCH)) for home in homes)
        self._torch = self._everything or any(home.startswith(_TORCH) for home in homes)
        self._own = tuple(albumentations_within(transforms))
        self.none = not (self._torch or self._own)

    def seed(self, number: int, *, everything: bool = False) -> None:
        """Seed the generators.

        Args:
            number: The seed.
            everything: Whether to seed all global generators too, for a data set that draws by itself.
        """
        if self._torch or everything:
            torch.default_generator.manual_seed(number)
        if self._everything or everything:
            np.random.seed(number & 0xFFFFFFFF)
            random.seed(number)
        if self._own:
            bits, drawn, python = _drawn()
            for transform in self._own:
                if getattr(transform, "random_generator", None) is not drawn:
                    transform.set_random_state(drawn, python)
            _BEGINNING["state"]["state"] = number << 64 | mixed(number, 0)
            bits.state = _BEGINNING
            python.gauss_next = None

    def drawing(self, number: int, *, everything: bool = False) -> Drawing:
        """Return a context in which the generators are seeded; afterwards they are restored, except in a worker process.

        Args:
            number: See :meth:`seed`.
            everything: See :meth:`seed`; in workers only.
        """
        return Drawing(self, number, everything)

    @property
    def _globals(self) -> tuple[bool, bool]:
        return self._torch, self._everything


class Drawing:
    """The context of :meth:`Sources.drawing`."""

    __slots__ = ("_everything", "_number", "_numpy", "_python", "_sources", "_torch")

    def __init__(self, sources: Sources, number: int, everything: bool = False) -> None:
        self._sources, self._number, self._everything = sources, number, everything
        self._torch: Tensor | None = None
        self._numpy: Any = None
        self._python: Any = None

    def __enter__(self) -> None:
        if get_worker_info() is not None:
            self._sources.seed(self._number, everything=self._everything)
            return
        sources = self._sources
        if sources._torch:
            self._torch = torch.default_generator.get_state()
            if sources._everything:
                self._numpy, self._python = np.random.get_state(), random.getstate()
        sources.seed(self._number)

    def __exit__(self, *_: object) -> None:
        if self._torch is not None:
            torch.default_generator.set_state(self._torch)
        if self._python is not None:
            np.random.set_state(self._numpy)
            random.setstate(self._python)


def _home(part: Callable[..., Any]) -> str:
    """Return the module that a transform, or a function within one, comes from."""
    while isinstance(part, partial):
        part = part.func
    if isinstance(part, MethodType):
        return f"{type(part.__self__).__module__}."
    return f"{part.__module__ if isinstance(part, _FUNCTIONS) else type(part).__module__}."
