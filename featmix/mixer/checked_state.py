"""The state of one rank's mixer, checked as a whole before any of it is taken over."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from featmix.checks import whole
from featmix.errors import FeatmixError
from featmix.mixer.tree import At
from featmix.schedule import checked_progress
from featmix.strategies.remembered import check_remembered
from featmix.strategies.restoring import check_state

WHO = "Mixer.load_state_dict"
ENTRIES = ("seed", "rank", "draws", "progress", "strategies", "generator")

_SEED_BITS, _MOST_DRAWS, _MOST_RANKS = 128, 2**36, 2**31
_TWISTER, _TWISTER_BYTES = 624, 5056  # of torch's generator for the CPU: words of its state, and bytes of all of it


@dataclass(frozen=True)
class OneRank:
    """A checked state.

    Args:
        seed: Of the mixer.
        rank: Whose it was.
        draws: Since the generator was made from seed and rank; ``None`` where it was the user's.
        progress: In [0, 1].
        strategies: The state of each, by the key of its leaf.
        generator: The state of the mixer's own generator, on the CPU.
    """

    seed: int
    rank: int
    draws: int | None
    progress: float
    strategies: Mapping[str, Mapping[str, Any]]
    generator: Tensor


def checked_state(
    state: Any,
    leaves: Mapping[str, At],
    *,
    shapes: Mapping[str, Sequence[int]],
    device: torch.device,
    more: Collection[str] = (),
) -> OneRank:
    """Return one rank's state if all of it can be loaded; nothing is changed, whatever is in it.

    Args:
        state: What is said to be one.
        leaves: Of the tree that it is for, by key.
        shapes: Of one sample at each place, as far as they are known.
        device: Of the generator that it is for.
        more: Entries that are others' to check.

    Raises:
        FeatmixError: If it cannot be; ``argument`` says which part.
    """
    known = {*ENTRIES, *more}
    if not isinstance(state, Mapping) or set(state) != known:
        got = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
        raise FeatmixError(WHO, "state", expected=_in_words(known), got=got, fix="Pass what mixer.state_dict() returned.")
    strategies = state["strategies"]
    if not isinstance(strategies, Mapping) or set(strategies) != set(leaves):
        got = sorted(map(str, strategies)) if isinstance(strategies, Mapping) else type(strategies).__name__
        expected = f"{_in_words(known)}, with strategies at {', '.join(leaves) or 'no site'}"
        raise FeatmixError(WHO, "strategies", expected=expected, got=got)
    draws = None if state["draws"] is None else _bounded("draws", state["draws"], _MOST_DRAWS)
    found = OneRank(
        seed=_seed(state["seed"]),
        rank=_bounded("rank", state["rank"], _MOST_RANKS),
        draws=draws,
        progress=checked_progress(WHO, state["progress"]),
        strategies={key: strategies[key] for key in leaves},
        generator=checked_bits("generator", state["generator"], device),
    )
    for key, leaf in leaves.items():
        check_state(WHO, leaf.strategy, found.strategies[key])
        check_remembered(WHO, leaf.strategy, found.strategies[key], shapes.get(leaf.place))
    return found


def checked_bits(argument: str, bits: Any, device: torch.device) -> Tensor:
    """Return the state of a generator, on the CPU, if a generator of this device can go on from it.

    Raises:
        FeatmixError: If none can.
    """
    expected = "a generator's state"
    if not isinstance(bits, Tensor) or bits.dtype != torch.uint8 or bits.ndim != 1 or bits.device.type == "meta":
        got = f"{bits.dtype} {tuple(bits.shape)}" if isinstance(bits, Tensor) else type(bits).__name__
        raise FeatmixError(WHO, argument, expected=expected, got=got)
    try:
        found: Tensor = bits.detach().cpu().contiguous()
        Generator(device=device).set_state(found)
    except (RuntimeError, TypeError, ValueError) as error:
        raise FeatmixError(WHO, argument, expected=expected, got=" ".join(str(error).split())) from error
    if device.type == "cpu" and len(found) == _TWISTER_BYTES:
        # torch checks each of the two by itself; together they could point beyond the words that there are.
        left, position = (int.from_bytes(found[a:b].numpy().tobytes(), "little") for a, b in ((8, 12), (16, 24)))
        if left != 1 and left + position != _TWISTER + 1:
            raise FeatmixError(WHO, argument, expected=expected, got=f"one at word {position} with {left} left")
    return found


def _bounded(argument: str, value: Any, most: int) -> int:
    number = whole(WHO, argument, value)
    if number > most:
        raise FeatmixError(WHO, argument, expected=f"a whole number up to {most}", got=str(number))
    return number


def _seed(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0 or value.bit_length() > _SEED_BITS:
        got = f"one of {value.bit_length()} bits" if isinstance(value, int) else repr(value)
        raise FeatmixError(WHO, "seed", expected=f"a whole number from 0 up, of at most {_SEED_BITS} bits", got=got)
    return value


def _in_words(names: Collection[str]) -> str:
    ordered = [*ENTRIES, *sorted(set(names) - set(ENTRIES))]
    return f"{', '.join(ordered[:-1])} and {ordered[-1]}"
