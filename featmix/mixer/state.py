"""A mixer's own randomness, and what a resumed run continues from: one rank's, or that of all ranks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator

from featmix.errors import FeatmixError
from featmix.mixer.checked_state import WHO, OneRank, checked_state
from featmix.mixer.gathering import gathered, ranks
from featmix.sampling.draws import skip
from featmix.seeding import derived, rank
from featmix.support.warning import warn

if TYPE_CHECKING:
    from featmix.mixer.tree import At

_ALL = "ranks"


class Resuming:
    """The part of a :class:`~featmix.Mixer` that has a stream of random numbers, and saves and loads where it is."""

    _leaves: dict[str, At]
    _seed: int
    _draws: int | None
    _generator: Generator | None
    _progress: float
    progress: float
    shapes: dict[str, tuple[int, ...]]

    def state_dict(self, *, gather: bool = True) -> dict[str, Any]:
        """Return what a resumed run needs to continue exactly: plain numbers and tensors, nothing that unpickling would run.

        Under a process group it holds the state of all ranks, and is the same on each of them. *It is then a collective*: call
        it on every rank, and let one of them write the file. A rank that calls it alone gets an error after ten minutes; where
        a trainer asks one rank only, ``gather=False`` gives what this rank has. That is enough for all where they share a
        ``seed`` and draw equally often: each continues its own draws. What strategies remember of earlier batches is then that
        rank's, for all.

        Args:
            gather: Whether to gather the state of all ranks, where there are several.

        Raises:
            FeatmixError: If other ranks do not call it.
        """
        own = self._own_state()
        return {_ALL: gathered("Mixer.state_dict", own)} if gather and ranks() > 1 else own

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state, to continue where :meth:`state_dict` was taken; of all ranks, or of one.

        With as many ranks as it was saved from, each continues its own draws and memories exactly. With another number, which
        is said by a warning, a rank that was there goes on as well, and a new one draws as it would have, by the seed, its rank
        and the number of draws; memories that are left are dealt to new ranks in turn, and those of ranks that are gone are
        dropped. Every rank continues from the state of a single one too.

        Raises:
            FeatmixError: If it is no such state; then nothing has changed.
        """
        self._assign(self._validated(self._meant_for_this_rank(state)))

    def _own_state(self) -> dict[str, Any]:
        """Return the state of this rank."""
        return {
            "seed": self._seed,
            "rank": rank(),
            "draws": self._draws,
            "progress": self._progress,
            "strategies": {key: leaf.strategy.state_dict() for key, leaf in self._leaves.items()},
            "generator": self._seeded().get_state(),
        }

    def _meant_for_this_rank(self, state: Mapping[str, Any]) -> Any:
        """Return of a state of all ranks the part that this one continues from."""
        if not isinstance(state, Mapping) or set(state) != {_ALL}:
            return state
        saved = state[_ALL]
        if not isinstance(saved, list | tuple) or not saved:
            raise FeatmixError(WHO, _ALL, expected="a list of the states of all ranks", got=type(saved).__name__)
        if len(saved) != ranks() and rank() == 0:
            warn(
                WHO,
                expected=f"the state of {ranks()} ranks, as many as there are",
                got=f"that of {len(saved)}",
                fix="Each rank goes on in the stream of its seed and rank; memories are dealt anew.",
            )
        return saved[rank() % len(saved)]

    def _validated(self, state: Any, more: Collection[str] = ()) -> OneRank:
        """Return the state of one rank, every part of it checked but those of a subclass; nothing is changed."""
        device = torch.device("cpu") if self._generator is None else self._generator.device
        return checked_state(state, self._leaves, shapes=self.shapes, device=device, more=more)

    def _assign(self, found: OneRank) -> None:
        """Continue from the state of one rank, which has been checked: nothing of it can be refused any more."""
        self._seed, self._draws, self.progress = found.seed, found.draws, found.progress
        for key, leaf in self._leaves.items():
            leaf.strategy.load_state_dict(found.strategies[key])
        self._seeded().set_state(found.generator)
        if found.rank != rank():
            self._continue_another()

    def _continue_another(self) -> None:
        """Go on from where another rank is, in a stream of one's own."""
        generator = self._seeded()
        if self._draws is not None:
            skip(generator.manual_seed(derived(self._seed, rank())), self._draws)
        else:
            bits = generator.get_state()[:4096].view(torch.int32).abs().tolist()
            generator.manual_seed(derived(self._seed, rank(), *bits))

    def _seeded(self) -> Generator:
        """Return the mixer's own generator, made at the first use: by then a process group, if any, has ranks."""
        if self._generator is None:
            self._generator = Generator().manual_seed(derived(self._seed, rank()))
        return self._generator


def checked_seed(seed: int | None, generator: Generator | None) -> int:
    """Return the seed of a mixer: where none is given, one from torch's default generator, and 0 beside a generator.

    Raises:
        FeatmixError: If it is no whole number from 0 up.
    """
    if seed is None:
        return 0 if generator is not None else int(torch.randint(2**31, ()))
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise FeatmixError("attach", "seed", expected="a whole number from 0 up", got=repr(seed))
    return seed


def checked_generator(generator: Generator | None) -> Generator | None:
    """Return a generator, or None as it is.

    Raises:
        FeatmixError: If it is neither.
    """
    if generator is not None and not isinstance(generator, Generator):
        raise FeatmixError("attach", "generator", expected="a torch.Generator", got=repr(generator))
    return generator
