"""Seeds for the global generators that other libraries draw from, in a data loader's workers and around a single call.

featmix itself draws from the ``torch.Generator`` that it is given; what is here is for those that cannot be given one.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from numbers import Integral
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from featmix.checks import whole
from featmix.errors import FeatmixError

_FEW = 100  # entries of a list that are looked at whatever the first one is


def seed_worker(transforms: Any = None, *, seed: int = 0) -> WorkerSeed:
    """A ``worker_init_fn`` for ``DataLoader`` after which workers differ, epochs differ, and torch's seed reproduces them all.

    albumentations 2.0.8 draws from generators of its own, which every worker copies from the main process. Without this, all
    workers draw alike, and so do all epochs, whether or not ``Compose`` was given a seed. A seeded ``Compose`` moreover gives
    each of its transforms the same stream: two flips with ``p=0.5`` then always happen together. Here a pipeline gets one
    stream that all its transforms share, made of ``seed``, the rank, the worker and the number that ``DataLoader`` draws for
    each epoch. So ``torch.manual_seed``, or the loader's own ``generator``, decides over order and augmentation alike. With
    ``persistent_workers`` the streams go on from one epoch to the next. The worker's global generators (torch, NumPy, Python)
    are seeded from the same numbers, so that ranks that share torch's seed get different random numbers too.

    Args:
        transforms: An albumentations pipeline, or what holds some: a list, a dict, a dataset or another object. ``None`` looks
            in the worker's dataset, and in the datasets and transforms that it holds.
        seed: One more number: with another one, other draws under the same seed of torch.

    Returns:
        A callable ``(worker_id) -> None`` that can be pickled, for loaders that spawn.

    Raises:
        FeatmixError: If the seed is no whole number from 0 up.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> loader = DataLoader(list(range(8)), num_workers=2, worker_init_fn=seed_worker())
    """
    return WorkerSeed(transforms, seed=seed)


class WorkerSeed:
    """The callable that :func:`seed_worker` returns; see there."""

    def __init__(self, transforms: Any = None, *, seed: int = 0) -> None:
        self.transforms, self.seed = transforms, whole("seed_worker", "seed", seed)
        self._rank = 0

    def __call__(self, worker_id: int) -> None:
        """Seed this worker."""
        info = get_worker_info()
        if info is None:
            raise FeatmixError(
                "seed_worker",
                expected="a call in a worker of a data loader",
                got="one in the main process",
                fix="Pass it as worker_init_fn=..., or use seed_transforms(transforms, seed=...) where there are no workers.",
            )
        words = (self.seed, self._known_rank(), info.seed - info.id, info.id)
        seed_globals(derived(*words))
        _seed_all(info.dataset if self.transforms is None else self.transforms, words)

    def __getstate__(self) -> dict[str, Any]:
        """A process that is spawned does not know its rank: take it along."""
        return {**vars(self), "_rank": self._known_rank()}

    def _known_rank(self) -> int:
        """This process's, or where it does not know, that of the process it was sent from."""
        return rank() or self._rank

    def __repr__(self) -> str:
        return f"seed_worker({self.transforms!r}, seed={self.seed})"


def seed_transforms(transforms: Any, *, seed: int) -> int:
    """Give pipelines of albumentations new streams in this process: for loaders without workers, and for tests.

    Args:
        transforms: As for :func:`seed_worker`.
        seed: A whole number from 0 up; each pipeline found draws from it and its place in the search.

    Returns:
        How many were found.

    Raises:
        FeatmixError: If the seed is none.

    Example:
        >>> seed_transforms([], seed=0)
        0
    """
    return _seed_all(transforms, (whole("seed_transforms", "seed", seed),))


def seed_globals(seed: int) -> None:
    """Seed the global generators of torch (on every device), NumPy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    random.seed(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The global generators of torch on the CPU, NumPy and Python, seeded; put back afterwards.

    Example:
        >>> with seeded(0):
        ...     drawn = torch.rand(1)
        >>> with seeded(0):
        ...     bool(drawn == torch.rand(1))
        True
    """
    state, python = np.random.get_state(), random.getstate()
    try:
        with torch_seeded(seed):
            np.random.seed(seed & 0xFFFFFFFF)
            random.seed(seed)
            yield
    finally:
        np.random.set_state(state)
        random.setstate(python)


@contextmanager
def torch_seeded(seed: int) -> Iterator[None]:
    """Seed torch alone, where :func:`seeded` would spend half the time of a small draw on NumPy and Python."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def derived(*words: int) -> int:
    """A seed made of numbers, different for different ones."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0]) >> 1


def rank() -> int:
    """This process's rank; 0 where nothing is distributed."""
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_rank() if distributed else 0


def albumentations_within(holder: Any) -> list[Any]:
    """Everything in a transform or a data set that has generators of its own, as albumentations' pipelines have.

    Args:
        holder: As for :func:`seed_worker`.
    """
    return list(_pipelines(holder, set(), outermost=True))


def _seed_all(holder: Any, words: tuple[int, ...]) -> int:
    found = albumentations_within(holder)
    for place, pipeline in enumerate(found):
        own = pipeline.seed if isinstance(getattr(pipeline, "seed", None), Integral) else 0
        # One stream for the whole pipeline: its transforms then draw one after the other, not all the same.
        state = np.random.SeedSequence((*words, place, abs(int(own))))
        drawn = np.random.default_rng(state)
        pipeline.set_random_state(drawn, random.Random(int(drawn.integers(2**63))))
    return len(found)


def _pipelines(value: Any, seen: set[int], *, outermost: bool = False) -> Iterator[Any]:
    """Everything within that has generators of its own, as albumentations' transforms have; each once, in a fixed order."""
    if id(value) in seen or isinstance(value, type):
        return
    seen.add(id(value))
    if callable(getattr(value, "set_random_state", None)):
        yield value
        return
    for held in _held_by(value, outermost):
        yield from _pipelines(held, seen)


def _held_by(value: Any, outermost: bool) -> Iterable[Any]:
    """Return the values in a container, function or object that may be pipelines, or hold some."""
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, list | tuple):
        # A dataset may hold a million samples in a list; looking at each would copy its memory into the worker.
        return value if len(value) <= _FEW or _holder(value[0]) else ()
    if isinstance(value, MethodType):
        return (value.__self__,)
    if isinstance(value, partial):
        return (value.func, *value.args, *value.keywords.values())
    if isinstance(value, FunctionType):
        return inspect.getclosurevars(value).nonlocals.values()
    if (outermost or _holder(value)) and hasattr(value, "__dict__"):
        return [held for held in vars(value).values() if _holder(held) or isinstance(held, list | tuple | Mapping)]
    return ()


def _holder(value: Any) -> bool:
    return isinstance(value, Dataset) or callable(value)
