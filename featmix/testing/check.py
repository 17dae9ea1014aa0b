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
from featmix.normalizer import Normalizer
from featmix.strategy import Strategy
from featmix.testing.explain import explanation
from featmix.testing.inputs import features
from featmix.testing.law import Case, Kind, Law, LawError, channel_multiple, laws, layout_name

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
        LawError: If a law does not hold and ``on_fail`` is ``raise``; an ``AssertionError``.
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
    expected_failed_checks: Callable[[Any], Mapping[str, str]] | Mapping[str, str] | None = None,
    xfail_strict: bool = True,
) -> Any:
    """A ``pytest.mark.parametrize`` over ``check``: one callable for each subject, law and dtype.

    Args:
        subjects: Strategies, normalizers, or both.
        examples: Inputs to draw for each law and dtype.
        dtypes: Of the drawn features.
        kinds: Laws over strategies themselves, or attached to a model, or both.
        expected_failed_checks: Laws that are known not to hold, with the reason, or a function that gives them for a subject.
        xfail_strict: Whether one of those that holds after all is a failure.

    Example:
        >>> import featmix as fm
        >>> @parametrize_with_checks([fm.MoEx("pono"), fm.normalizer("in")])
        ... def test_laws(check):
        ...     check()
    """
    import pytest

    def marks(subject: Any, name: str) -> list[Any]:
        known = expected_failed_checks(subject) if callable(expected_failed_checks) else expected_failed_checks
        reason = (known or {}).get(name)
        return [] if reason is None else [pytest.mark.xfail(reason=reason, raises=LawError, strict=xfail_strict)]

    runs = [
        pytest.param(
            partial(run_law, one, subject, dtype, examples),
            id=f"{_label(subject)}-{one.name}-{_short(dtype)}",
            marks=marks(subject, one.name),
        )
        for subject in subjects
        for one in laws(*(("normalizer",) if isinstance(subject, Normalizer) else kinds))
        if one.applies(subject)
        for dtype in _dtypes(one, dtypes)
    ]
    return pytest.mark.parametrize("check", runs)


def run_law(one: Law, subject: Strategy | Normalizer, dtype: torch.dtype | None = None, examples: int = 200) -> int:
    """Try one law on one subject; returns how many inputs were tried.

    Raises:
        LawError: If it does not hold, with an explanation and the smallest input found.
    """
    last: dict[str, Any] = {"x": None, "seed": 0}
    tried = 0
    if isinstance(subject, Normalizer):
        layout, multiple = subject.layout or "bchw", subject.groups or subject.width or 1
    else:
        layout, multiple = layout_name(subject), channel_multiple(subject)

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(features(layout=layout, dtype=dtype or torch.float32, channel_multiple=multiple), st.integers(0, 2**31 - 1))
    def attempt(x: torch.Tensor, seed: int) -> None:
        nonlocal tried
        tried += 1
        last.update(x=x, seed=seed)  # the last input that hypothesis tries is the smallest one that fails
        if isinstance(subject, Normalizer):
            one.check(subject, x)
        else:
            one.check(Case(subject, x, seed))

    try:
        if one.drawn:
            attempt()
        else:
            tried = 1
            one.check(subject)
    except Exception as error:
        raise LawError(explanation(one, subject, error, tried=tried, **last)) from error
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
                    _report(record.message, on_fail)
    return records


def _records(one: Law, subject: Any, dtypes: tuple[torch.dtype, ...], examples: int, reason: str | None) -> Iterator[Record]:
    made = []
    for dtype in _dtypes(one, dtypes):
        start, tried, message = time.perf_counter(), 0, ""
        try:
            tried = run_law(one, subject, dtype, examples)
        except LawError as error:
            message = str(error)
        status: Literal["passed", "failed", "expected failure"] = "passed"
        if message:
            status = "failed" if reason is None else "expected failure"
        made.append(Record(one.name, _short(dtype), status, tried, time.perf_counter() - start, message))
    if reason is not None and all(record.status == "passed" for record in made):
        yield Record(one.name, None, "failed", 0, 0.0, f"It was expected to fail ({reason}), and holds: take it off the list.")
    else:
        yield from made


def _dtypes(one: Law, dtypes: Iterable[torch.dtype]) -> list[torch.dtype | None]:
    chosen: list[torch.dtype | None] = list(dtypes)
    if not one.drawn:
        return [None]
    return chosen if one.every_dtype else chosen[:1]


def _report(message: str, on_fail: str | None) -> None:
    if on_fail == "raise":
        raise LawError(message)
    if on_fail == "warn":
        warnings.warn(message, stacklevel=4)


def _label(subject: Any) -> str:
    return subject.name or type(subject).__name__


def _short(dtype: torch.dtype | None) -> str | None:
    return None if dtype is None else str(dtype).removeprefix("torch.")
