"""Trying one law on one subject."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from featmix.errors import FeatmixWarning
from featmix.normalizers.base import Normalizer
from featmix.strategies.base import Strategy
from featmix.testing.draws import Input, default_examples, searched, shared
from featmix.testing.explain import explanation, measured
from featmix.testing.law import CannotRunError, Case, Kind, Law, LawError, laws
from featmix.testing.needs import needs
from featmix.testing.records import Record, Status
from featmix.testing.seen import Sight, forget, last_seen

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
_SEARCHED = 50  # inputs to draw, at least, for one that is smaller than the one that failed


def name_of(dtype: torch.dtype | None) -> str | None:
    """The dtype as it is written in records: ``float32``."""
    return None if dtype is None else str(dtype).removeprefix("torch.")


@dataclass(frozen=True)
class Task:
    """One law to be tried on one subject in one dtype; ``dtype`` is ``None`` for a law that chooses by itself.

    With a ``skipped``, which says why, it is not tried. ``wanted`` are all the dtypes that are.
    """

    law: Law
    subject: Strategy | Normalizer
    dtype: torch.dtype | None
    skipped: str = ""
    wanted: tuple[torch.dtype, ...] = DTYPES

    @property
    def dtype_name(self) -> str | None:
        """The dtype as it is written in records: ``float32``."""
        return name_of(self.dtype)

    def run(self, examples: int | None = None, reason: str | None = None, deadline: float | None = None) -> Record:
        """Try it.

        Args:
            examples: How many inputs to try a drawn law on.
            reason: Why its failure is expected, where it is.
            deadline: On the clock of ``time.perf_counter``.
        """
        record = Record(self.law.name, self.dtype_name, "skipped", 0, 0.0, reason=self.skipped)
        start = time.perf_counter()
        if self.skipped:
            return record
        if deadline is not None and start > deadline:
            return replace(record, status="unfinished", reason="the budget was used up before it began")
        try:
            found = _attempt(self.law, self.subject, self.dtype, default_examples() if examples is None else examples, deadline)
        except CannotRunError as error:
            return replace(record, reason=str(error))
        record = replace(record, status="passed", examples=found.tried, seconds=time.perf_counter() - start)
        if found.error is None:
            cut = found.tried < found.planned
            return replace(record, status="unfinished", reason=f"the budget was used up after {found.tried} of "
                           f"{found.planned} inputs") if cut else record  # fmt: skip
        reference = self.law.reference
        if reference is not None and reference not in self.wanted and not isinstance(found.error, LawError):
            told = f"it compares with what the subject says in {name_of(reference)}, which gave {measured(found.error)}"
            return replace(record, status="skipped", reason=told)
        status: Status = "failed" if reason is None else "expected failure"
        message = explanation(self.law, self.subject, found.error, sight=found.sight, tried=found.tried, dtype=self.dtype)
        return replace(record, status=status, message=message, measured=measured(found.error), reason=reason or "")


def tasks(subject: Strategy | Normalizer, kinds: Iterable[Kind], dtypes: Iterable[torch.dtype]) -> list[Task]:
    """Every law of these kinds, in each dtype that it tells apart, quick ones first; those not for the subject say so."""
    asked, taken, found = tuple(dtypes), needs(subject).dtypes or DTYPES, []
    wanted = tuple(dtype for dtype in asked if dtype in taken)
    for one in sorted(laws(*kinds), key=lambda one: one.slow):
        chosen = one.dtypes(wanted)
        if not one.applies(subject):
            found.append(Task(one, subject, None, f"it is for {one.whom or 'others'}", wanted))
        elif not chosen:
            found.append(Task(one, subject, None, _without_dtypes(one, asked, wanted), wanted))
        else:
            found += [Task(one, subject, dtype, "", wanted) for dtype in chosen]
    return found


def _without_dtypes(one: Law, asked: Sequence[torch.dtype], wanted: Sequence[torch.dtype]) -> str:
    """Why a law cannot be tried in the dtypes that are left."""
    if not wanted:
        return "none of the dtypes is one that the subject takes" if asked else "there are no dtypes to try it in"
    needed = ["float64 or float32"] if one.exact else [str(name_of(dtype)) for dtype in one.feeds if dtype not in wanted]
    refused = one.exact or all(dtype in asked for dtype in one.feeds if dtype not in wanted)
    whose = "which the subject does not take" if refused and len(wanted) < len(asked) else "which is not among the dtypes"
    return f"it needs {' and '.join(needed)}, {whose}"


def run_law(one: Law, subject: Strategy | Normalizer, dtype: torch.dtype | None = None, examples: int | None = None) -> int:
    """Try one law on one subject; returns how many inputs were tried.

    Raises:
        LawError: If it does not hold, with an explanation and the smallest input found.
        CannotRunError: If it cannot be tried here.
    """
    if dtype is None:
        dtype = torch.float64 if one.exact else torch.float32
    found = _attempt(one, subject, dtype, default_examples() if examples is None else examples, None)
    if found.error is not None:
        raise LawError(explanation(one, subject, found.error, sight=found.sight, tried=found.tried, dtype=dtype))
    return found.tried


def hold(one: Law, subject: Strategy | Normalizer, x: torch.Tensor | None, seed: int, dtype: torch.dtype | None) -> None:
    """Try a law once: a drawn one on this input, with this seed of the decision."""
    forget()
    if one.drawn and x is not None:
        given = x.clone()  # a subject that writes into its input must not spoil the next law's
        if isinstance(subject, Normalizer):
            one.check(subject, given)
        else:
            one.check(Case(subject, given, seed))
    elif one.every_dtype:
        one.check(subject, dtype)
    else:
        one.check(subject)


@dataclass
class _Found:
    """What came of it: inputs tried and planned, and failures with what the law was looking at, the first and the last."""

    tried: int = 0
    planned: int = 1
    failures: list[tuple[BaseException, Sight | None]] = field(default_factory=list)

    @property
    def error(self) -> BaseException | None:
        """The last error."""
        return self.failures[-1][0] if self.failures else None

    @property
    def sight(self) -> Sight | None:
        """What the law was looking at then."""
        return self.failures[-1][1] if self.failures else None

    def fail(self, error: BaseException, sight: Sight | None) -> None:
        """Keep the first failure and the last."""
        self.failures = [*self.failures[:1], (error, sight)]


class _OutOfTime(BaseException):
    """Goes past hypothesis, which would look on."""


def _attempt(one: Law, subject: Any, dtype: torch.dtype | None, examples: int, deadline: float | None) -> _Found:
    found = _Found(planned=examples if one.drawn else 1)

    def attempt(x: torch.Tensor | None, seed: int) -> None:
        if deadline is not None and found.tried and time.perf_counter() > deadline:
            raise _OutOfTime
        found.tried += 1
        try:
            hold(one, subject, x, seed, dtype)
        except CannotRunError:
            raise
        except (Exception, SystemExit) as error:  # the last input that hypothesis tries is the smallest one that fails
            sight = last_seen()
            if one.drawn and x is not None:
                sight = Sight(x, seed, sight.decision if sight else "")
            found.fail(error, sight)
            raise

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FeatmixWarning)  # laws try small shapes, and draw without asking for labels
            if not one.drawn:
                attempt(None, 0)
            else:
                _over(subject, dtype or torch.float32, examples, attempt)
    except CannotRunError:
        raise
    except _OutOfTime:
        pass
    except (Exception, SystemExit):
        if found.error is None:
            raise
    if one.drawn and len(found.failures) > 1 and not _fails_again(one, subject, dtype, found.sight):
        found.failures = found.failures[:1]  # the smallest one failed after others only: what is kept between calls matters
    return found


def _fails_again(one: Law, subject: Any, dtype: torch.dtype | None, sight: Sight | None) -> bool:
    try:
        hold(one, subject, sight.x if sight else None, (sight.seed if sight else None) or 0, dtype)
    except (Exception, SystemExit):
        return True
    return False


def _over(subject: Strategy | Normalizer, dtype: torch.dtype, examples: int, attempt: Any) -> None:
    """Try the inputs that all laws share, then others of its own; at a failure, look for a smaller input that fails."""
    inputs: Sequence[Input] = shared(subject, dtype, examples)
    try:
        for x, seed in inputs:
            attempt(x, seed)
    except (LawError, Exception, SystemExit):
        searched(subject, dtype, max(examples, _SEARCHED), attempt)
        raise
    if len(inputs) < examples:
        searched(subject, dtype, examples - len(inputs), attempt)
