"""Trying one law on one subject."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from featmix.errors import FeatmixWarning
from featmix.normalizers.base import Normalizer
from featmix.strategies.base import Strategy
from featmix.testing.explain import explanation, measured
from featmix.testing.inputs import features_for
from featmix.testing.law import Case, Kind, Law, LawError, laws
from featmix.testing.records import Record, Status

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Task:
    """One law to be tried on one subject in one dtype; ``dtype`` is ``None`` for a law that is not drawn."""

    law: Law
    subject: Strategy | Normalizer
    dtype: torch.dtype | None

    @property
    def dtype_name(self) -> str | None:
        """The dtype as it is written in records: ``float32``."""
        return None if self.dtype is None else str(self.dtype).removeprefix("torch.")

    def run(self, examples: int, reason: str | None = None) -> Record:
        """Try it; with a reason, its failure is expected."""
        start = time.perf_counter()
        tried, message, measured = _attempt(self.law, self.subject, self.dtype, examples)
        status: Status = "passed"
        if message:
            status = "failed" if reason is None else "expected failure"
        return Record(self.law.name, self.dtype_name, status, tried, time.perf_counter() - start, message, measured)


def tasks(subject: Strategy | Normalizer, kinds: Iterable[Kind], dtypes: Iterable[torch.dtype]) -> list[Task]:
    """Everything there is to try on a subject: the laws of these kinds that apply, in each dtype that they tell apart."""
    chosen: list[torch.dtype | None] = list(dtypes)
    return [
        Task(one, subject, dtype)
        for one in laws(*kinds)
        if one.applies(subject)
        for dtype in ((chosen if one.every_dtype else chosen[:1]) if one.drawn else [None])
    ]


def run_law(one: Law, subject: Strategy | Normalizer, dtype: torch.dtype | None = None, examples: int = 200) -> int:
    """Try one law on one subject; returns how many inputs were tried.

    Raises:
        LawError: If it does not hold, with an explanation and the smallest input found.
    """
    tried, message, _ = _attempt(one, subject, dtype, examples)
    if message:
        raise LawError(message)
    return tried


def _attempt(one: Law, subject: Strategy | Normalizer, dtype: torch.dtype | None, examples: int) -> tuple[int, str, str]:
    last: dict[str, Any] = {"x": None, "seed": 0}
    tried = 0

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(features_for(subject, dtype=dtype or torch.float32), st.integers(0, 2**31 - 1))
    def attempt(x: torch.Tensor, seed: int) -> None:
        nonlocal tried
        tried += 1
        last.update(x=x, seed=seed)  # the last input that hypothesis tries is the smallest one that fails
        if isinstance(subject, Normalizer):
            one.check(subject, x)
        else:
            one.check(Case(subject, x, seed))

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FeatmixWarning)  # laws try small shapes, and draw without asking for labels
            if one.drawn:
                attempt()
            else:
                tried = 1
                one.check(subject)
    except Exception as error:
        return tried, explanation(one, subject, error, tried=tried, **last), measured(error)
    return tried, "", ""
