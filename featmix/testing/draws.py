"""How many inputs a law is tried on, and which: chosen by hand, drawn once for all laws, or searched for one."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.normalizers.base import Normalizer
from featmix.strategies.base import Strategy
from featmix.testing.corners import CORNERS
from featmix.testing.inputs import features, features_for
from featmix.testing.needs import channel_multiple, layout_name, needs, prefix_count

Input = tuple[Tensor, int]
EXAMPLES = 20
THOROUGH = 200
VARIABLE = "FEATMIX_EXAMPLES"


def default_examples(*, thorough: bool = False) -> int:
    """Inputs for each law and dtype: 20, or what the environment variable ``FEATMIX_EXAMPLES`` says; 200 at least if thorough.

    Raises:
        FeatmixError: If the variable is no whole number from 1 up.
    """
    said = os.environ.get(VARIABLE, "").strip() or str(EXAMPLES)
    if not (said.isascii() and said.isdigit() and int(said)):
        raise FeatmixError("check", VARIABLE, expected="a whole number from 1 up", got=repr(said))
    return max(int(said), THOROUGH) if thorough else int(said)


def shared(subject: Strategy | Normalizer, dtype: torch.dtype, examples: int) -> list[Input]:
    """The inputs that all laws are tried on: those chosen by hand, then drawn ones, up to 200 in all."""
    smallest = getattr(subject, "min_group", 1) if isinstance(subject, Normalizer) else 1
    count = min(examples, THOROUGH)
    said, prefix = needs(subject), prefix_count(subject)
    found = list(_pool(layout_name(subject), channel_multiple(subject), dtype, count, said.channels, said.shapes, prefix))
    if isinstance(subject, Normalizer) and smallest > 1:
        return [(x, seed) for x, seed in found if subject.group_size(x.shape) >= smallest]
    return found


def searched(subject: Strategy | Normalizer, dtype: torch.dtype, examples: int, attempt: Callable[[Tensor, int], None]) -> None:
    """Draw inputs for one law; where it fails, make the input smaller, and raise what the smallest one gives."""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(features_for(subject, dtype=dtype), st.integers(0, 2**31 - 1))
    def drawn(x: Tensor, seed: int) -> None:
        attempt(x, seed)

    drawn()


@lru_cache(maxsize=32)
def _pool(
    layout: str,
    multiple: int,
    dtype: torch.dtype,
    count: int,
    channels: int | None,
    shapes: tuple[tuple[int, ...], ...],
    prefix: int,
) -> tuple[Input, ...]:
    found = [(corner.made(layout, multiple, dtype, channels, shapes, prefix), corner.seed) for corner in CORNERS[:count]]
    if count == len(found):
        return tuple(found)

    @settings(
        max_examples=count - len(found),
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(
        features(layout=layout, dtype=dtype, channel_multiple=multiple, channels=channels, shapes=shapes, prefix=prefix),
        st.integers(0, 2**31 - 1),
    )
    def drawn(x: Tensor, seed: int) -> None:
        found.append((x, seed))

    drawn()
    return tuple(found)
