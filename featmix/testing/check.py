"""Running laws: over one strategy or normalizer, or as pytest parameters."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from featmix.errors import FeatmixError, nearest
from featmix.normalizers import Normalizer
from featmix.strategy import Strategy
from featmix.testing.inputs import features
from featmix.testing.law import Case, Kind, Law, channel_multiple, law, laws, layout_name

__all__ = ["Record", "check_normalizer", "check_strategy", "law", "parametrize_with_checks", "run_law"]

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Record:
    """What came of one law.

    Args:
        law: Its name.
        dtype: What the drawn features were of; ``None`` for a law that is not drawn.
        status: ``passed``, ``failed``, or ``expected failure``.
        examples: How many inputs were tried.
        seconds: How long it took.
        message: Of the failure, with the smallest input found; empty otherwise.
    """

    law: str
    dtype: str | None
    status: Literal["passed", "failed", "expected failure"]
    examples: int
    seconds: float
    message: str = ""


def check_strategy(
    strategy: Strategy,
    *,
    only: Sequence[str] | None = None,
    examples: int = 200,
    dtypes: Iterable[torch.dtype] = DTYPES,
    expected_failed_checks: Mapping[str, str] | None = None,
    on_fail: Literal["raise", "warn"] | None = "raise",
    callback: Callable[[Record], None] | None = None,
) -> list[Record]:
    """Hold a strategy to every law that applies to it.

    Args:
        strategy: An instance; its layout (``bchw`` where none is chosen) decides what features it is given.
        only: Names of laws to run; all that apply where not given.
        examples: Inputs to draw for each law and dtype.
        dtypes: Of the drawn features.
        expected_failed_checks: Laws that are known not to hold, with the reason. One that holds after all is a failure.
        on_fail: Raise at the first failure, warn of each, or only record.
        callback: Called with each record as it is made.

    Returns:
        A record for each law and dtype.

    Raises:
        AssertionError: If a law does not hold and ``on_fail`` is ``raise``.
        FeatmixError: If a law named does not exist.

    Example:
        >>> import featmix as fm
        >>> records = check_strategy(fm.MoEx("in"), only=["moments", "isolation"], examples=5, dtypes=[torch.float32])
        >>> [(r.law, r.status) for r in records]
        [('moments', 'passed'), ('isolation', 'passed')]
    """
    return _check(strategy, ("strategy", "attached"), only, examples, dtypes, expected_failed_checks, on_fail, callback)


def check_normalizer(
    norm: Normalizer,
    *,
    only: Sequence[str] | None = None,
    examples: int = 200,
    dtypes: Iterable[torch.dtype] = DTYPES,
    expected_failed_checks: Mapping[str, str] | None = None,
    on_fail: Literal["raise", "warn"] | None = "raise",
    callback: Callable[[Record], None] | None = None,
) -> list[Record]:
    """Hold a normalizer to every law that applies to it; see :func:`check_strategy` for the arguments.

    Example:
        >>> import featmix as fm
        >>> {r.status for r in check_normalizer(fm.normalizer("gn2"), examples=5, dtypes=[torch.float64])}
        {'passed'}
    """
    return _check(norm, ("normalizer",), only, examples, dtypes, expected_failed_checks, on_fail, callback)


def parametrize_with_checks(
    subjects: Iterable[Strategy | Normalizer],
    *,
    examples: int = 200,
    dtypes: Iterable[torch.dtype] = DTYPES,
    kinds: tuple[Kind, ...] = ("strategy", "attached"),
) -> Any:
    """A ``pytest.mark.parametrize`` over ``check``: one callable for each subject, law and dtype.

    Args:
        subjects: Strategies, normalizers, or both.
        examples: Inputs to draw for each law and dtype.
        dtypes: Of the drawn features.
        kinds: Laws over strategies themselves, or attached to a model, or both.

    Example:
        >>> import featmix as fm
        >>> @parametrize_with_checks([fm.MoEx("pono"), fm.normalizer("in")])
        ... def test_laws(check):
        ...     check()
    """
    import pytest

    runs = [
        pytest.param(partial(run_law, one, subject, dtype, examples), id=f"{_label(subject)}-{one.name}-{_short(dtype)}")
        for subject in subjects
        for one in laws(*(("normalizer",) if isinstance(subject, Normalizer) else kinds))
        if one.applies(subject)
        for dtype in (dtypes if one.drawn else (None,))
    ]
    return pytest.mark.parametrize("check", runs)


def run_law(one: Law, subject: Strategy | Normalizer, dtype: torch.dtype | None, examples: int = 200) -> int:
    """Try one law on one subject; returns how many inputs were tried.

    Raises:
        AssertionError: If it does not hold, with the smallest input found.
    """
    if not one.drawn:
        one.check(subject)
        return 1
    tried = 0
    kind = dtype or torch.float32
    if isinstance(subject, Normalizer):
        drawn = features(layout=subject.layout or "bchw", dtype=kind, channel_multiple=subject.groups or subject.width or 1)
    else:
        drawn = features(layout=layout_name(subject), dtype=kind, channel_multiple=channel_multiple(subject))

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn, st.integers(0, 2**31 - 1))
    def attempt(x: torch.Tensor, seed: int) -> None:
        nonlocal tried
        tried += 1
        if isinstance(subject, Normalizer):
            one.check(subject, x)
        else:
            one.check(Case(subject, x, seed))

    attempt()
    return tried


def _check(
    subject: Any,
    kinds: tuple[Kind, ...],
    only: Sequence[str] | None,
    examples: int,
    dtypes: Iterable[torch.dtype],
    expected: Mapping[str, str] | None,
    on_fail: str | None,
    callback: Callable[[Record], None] | None,
) -> list[Record]:
    known = laws(*kinds)
    for name in [*(only or ()), *(expected or ())]:
        if name not in {one.name for one in known}:
            raise FeatmixError(
                "check", "law", expected="the name of a law", got=repr(name), fix=nearest(name, [k.name for k in known])
            )
    records = []
    for one in known:
        if one.applies(subject) and (only is None or one.name in only):
            for record in _records(one, subject, tuple(dtypes), examples, (expected or {}).get(one.name)):
                records.append(record)
                if callback is not None:
                    callback(record)
                if record.status == "failed":
                    _report(f"{_label(subject)} breaks the law {one.name}: {one.statement}\n{record.message}", on_fail)
    return records


def _records(one: Law, subject: Any, dtypes: tuple[torch.dtype, ...], examples: int, reason: str | None) -> Iterator[Record]:
    failures = 0
    made = []
    for dtype in dtypes if one.drawn else (None,):
        start, tried, message = time.perf_counter(), 0, ""
        try:
            tried = run_law(one, subject, dtype, examples)
        except Exception as error:
            message = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])
            failures += 1
        status: Literal["passed", "failed", "expected failure"] = "passed"
        if message:
            status = "failed" if reason is None else "expected failure"
        made.append(Record(one.name, _short(dtype), status, tried, time.perf_counter() - start, message))
    if reason is not None and not failures:
        yield Record(one.name, None, "failed", 0, 0.0, f"It was expected to fail ({reason}), and holds: take it off the list.")
    else:
        yield from made


def _report(message: str, on_fail: str | None) -> None:
    if on_fail == "raise":
        raise AssertionError(message)
    if on_fail == "warn":
        warnings.warn(message, stacklevel=4)


def _label(subject: Any) -> str:
    return subject.name or type(subject).__name__


def _short(dtype: torch.dtype | None) -> str | None:
    return None if dtype is None else str(dtype).removeprefix("torch.")
