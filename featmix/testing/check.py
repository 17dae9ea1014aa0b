"""Holding one strategy or normalizer to its laws, or many as pytest parameters."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal

import torch

from featmix.errors import FeatmixError, nearest
from featmix.normalizers.base import Normalizer
from featmix.strategies.base import Strategy
from featmix.testing.adapters import adapt
from featmix.testing.draws import default_examples
from featmix.testing.law import CannotRunError, Kind, Law, LawError, laws
from featmix.testing.records import Record
from featmix.testing.runner import DTYPES, Task, run_law, tasks

OF_STRATEGIES: tuple[Kind, ...] = ("strategy", "attached")
OnFail = Literal["raise", "warn"] | None


def check_strategy(
    strategy: Any,
    *,
    only: Sequence[str] | None = None,
    examples: int | None = None,
    thorough: bool = False,
    budget: float | None = None,
    dtypes: Iterable[torch.dtype] = DTYPES,
    kinds: tuple[Kind, ...] = OF_STRATEGIES,
    expected_failed_checks: Mapping[str, str] | None = None,
    on_fail: OnFail = "raise",
    callback: Callable[[Record], None] | None = None,
) -> list[Record]:
    """Hold a strategy to every law that applies to it.

    Args:
        strategy: A strategy, or anything else that :func:`~featmix.testing.adapters.accept.adapt` makes one of, such as a
            function ``f(x, partner)``. Its layout (``bchw`` where none is chosen) decides what features it is given.
        only: Names of laws to run; all that apply where not given.
        examples: Inputs to try for each law and dtype: 12 chosen by hand first, then drawn ones. 20 by default, or what the
            environment variable ``FEATMIX_EXAMPLES`` says.
        thorough: 200 examples by default in place of 20.
        budget: Seconds. When they are used up, what is left is recorded as ``unfinished``.
        dtypes: Of all features that the strategy is given. A law that needs another dtype is skipped.
        kinds: Laws over the strategy itself, or attached to a model, or both.
        expected_failed_checks: Laws that are known not to hold, with the reason, by name or by ``name-dtype``. One that holds
            after all is a failure.
        on_fail: Raise at the first failure, warn of each, or only record.
        callback: Called with each record as it is made.

    Returns:
        A record for each law and dtype. A law that is not for this strategy, or cannot be tried, is ``skipped``, with a reason.

    Raises:
        LawError: If a law does not hold and ``on_fail`` is ``raise``; an ``AssertionError``.
        FeatmixError: If a law named does not exist, the subject is no strategy, or examples or budget are not above 0.

    Example:
        >>> import featmix as fm
        >>> records = check_strategy(fm.MoEx("in"), only=["moments", "isolation"], examples=5, dtypes=[torch.float32])
        >>> [(r.law, r.status) for r in records]
        [('moments', 'passed'), ('isolation', 'passed')]
    """
    subject = adapt(strategy)
    if not isinstance(subject, Strategy):
        raise FeatmixError("check_strategy", "strategy", expected="a strategy", got=repr(subject), fix="Use check_normalizer.")
    return _check(subject, kinds, only, count_of(examples, thorough), budget, dtypes, expected_failed_checks, on_fail, callback)


def check_normalizer(
    norm: Any,
    *,
    only: Sequence[str] | None = None,
    examples: int | None = None,
    thorough: bool = False,
    budget: float | None = None,
    dtypes: Iterable[torch.dtype] = DTYPES,
    expected_failed_checks: Mapping[str, str] | None = None,
    on_fail: OnFail = "raise",
    callback: Callable[[Record], None] | None = None,
) -> list[Record]:
    """Hold a normalizer to every law that applies to it; see :func:`check_strategy` for the other arguments.

    Args:
        norm: A normalizer, or anything else that :func:`~featmix.testing.adapters.accept.adapt` makes one of, such as an
            ``nn.Module`` with ``moments``, ``normalize`` and ``denormalize``, or ``torch.nn.InstanceNorm2d(4)``.
        only: See there.
        examples: See there.
        thorough: See there.
        budget: See there.
        dtypes: See there.
        expected_failed_checks: See there.
        on_fail: See there.
        callback: See there.

    Raises:
        LawError: See there.
        FeatmixError: If a law named does not exist, or the subject is no normalizer.

    Example:
        >>> import featmix as fm
        >>> {r.status for r in check_normalizer(fm.normalizer("gn2"), only=["restores"], examples=5)}
        {'passed'}
    """
    subject = adapt(norm)
    if not isinstance(subject, Normalizer):
        raise FeatmixError("check_normalizer", "norm", expected="a normalizer", got=repr(subject), fix="Use check_strategy.")
    return _check(
        subject, ("normalizer",), only, count_of(examples, thorough), budget, dtypes, expected_failed_checks, on_fail, callback
    )


def parametrize_with_checks(
    subjects: Iterable[Any],
    *,
    examples: int | None = None,
    thorough: bool = False,
    dtypes: Iterable[torch.dtype] = DTYPES,
    kinds: tuple[Kind, ...] = OF_STRATEGIES,
    where: Callable[[Any, Law], bool] = lambda subject, law: True,
    expected_failed_checks: Callable[[Any], Mapping[str, str]] | Mapping[str, str] | None = None,
    xfail_strict: bool = True,
) -> Any:
    """A ``pytest.mark.parametrize`` over ``check``: one callable for each subject, law and dtype.

    Args:
        subjects: Strategies, normalizers, or anything that :func:`~featmix.testing.adapters.accept.adapt` makes one of.
        examples: See :func:`check_strategy`.
        thorough: See :func:`check_strategy`.
        dtypes: Of all features that subjects are given.
        kinds: Laws over strategies themselves, or attached to a model, or both.
        where: Which law is to be tried on which subject; all that apply where not given.
        expected_failed_checks: Laws that are known not to hold, with the reason, by name or by ``name-dtype``, or a function
            that gives them for a subject as it was passed in.
        xfail_strict: Whether one of those that holds after all is a failure. Each dtype is a test of its own here.

    Raises:
        FeatmixError: If a law named does not exist, or a subject cannot be adapted.

    Example:
        >>> import featmix as fm
        >>> @parametrize_with_checks([fm.MoEx("pono"), fm.normalizer("in")])
        ... def test_laws(check):
        ...     check()
    """
    import pytest

    chosen, runs, count = list(dtypes), [], count_of(examples, thorough)
    for given in subjects:
        expected = expected_failed_checks(given) if callable(expected_failed_checks) else expected_failed_checks or {}
        check_names(expected, ("normalizer", "strategy", "attached"))
        subject = adapt(given)
        for task in tasks(subject, _kinds_for(subject, kinds), chosen):
            if task.skipped or not where(subject, task.law):
                continue
            reason = _reason(task, expected)
            marks = [] if reason is None else [pytest.mark.xfail(reason=reason, raises=LawError, strict=xfail_strict)]
            name = f"{subject.name or type(subject).__name__}-{task.law.name}-{task.dtype_name}"
            runs.append(pytest.param(_Run(task, count), id=name, marks=marks))
    return pytest.mark.parametrize("check", runs)


def planned(
    subject: Strategy | Normalizer,
    *,
    only: Sequence[str] | None = None,
    dtypes: Iterable[torch.dtype] = DTYPES,
    kinds: tuple[Kind, ...] = OF_STRATEGIES,
) -> list[Task]:
    """Return the tasks that the checks would try on a subject, in order; those that they would skip say why.

    Raises:
        FeatmixError: If a law named does not exist.
    """
    kinds = _kinds_for(subject, kinds)
    check_names(only or (), kinds, with_dtypes=False)
    return [task for task in tasks(subject, kinds, dtypes) if only is None or task.law.name in only]


class _Run:
    """A task that a test calls."""

    def __init__(self, task: Task, examples: int) -> None:
        self.task, self.examples = task, examples

    def __call__(self) -> int:
        try:
            return run_law(self.task.law, self.task.subject, self.task.dtype, self.examples)
        except CannotRunError as error:
            import pytest

            pytest.skip(str(error))


def _check(
    subject: Strategy | Normalizer,
    kinds: tuple[Kind, ...],
    only: Sequence[str] | None,
    examples: int,
    budget: float | None,
    dtypes: Iterable[torch.dtype],
    expected_failed_checks: Mapping[str, str] | None,
    on_fail: OnFail,
    callback: Callable[[Record], None] | None,
) -> list[Record]:
    if on_fail not in ("raise", "warn", None):
        raise FeatmixError("check", "on_fail", expected="'raise', 'warn' or None", got=repr(on_fail))
    if budget is not None and not budget > 0:
        raise FeatmixError("check", "budget", expected="seconds above 0, or None", got=repr(budget))
    expected, deadline = expected_failed_checks or {}, None if budget is None else time.perf_counter() + budget
    check_names(expected, kinds)
    records = []
    for _, same_law in groupby(planned(subject, only=only, dtypes=dtypes, kinds=kinds), key=lambda task: task.law.name):
        for record in records_of(list(same_law), examples, expected, deadline):
            records.append(record)
            if callback is not None:
                callback(record)
            if record.status == "failed":
                _report(record.message, on_fail)
    return records


def records_of(same_law: list[Task], examples: int, expected: Mapping[str, str], deadline: float | None) -> Iterable[Record]:
    """Try one law in each dtype: its records; an expectation that does not come true, where all was tried, gives one more."""
    found = []
    for task in same_law:
        found.append(task.run(examples, _reason(task, expected), deadline))
        yield found[-1]
    law = same_law[0].law.name
    for key, dtype in ((law, None), *((f"{law}-{record.dtype}", record.dtype) for record in found)):
        concerned = [record.status for record in found if dtype is None or record.dtype == dtype]
        if key in expected and set(concerned) == {"passed"}:
            message = f"{key!r} was expected to fail ({expected[key]}), and holds: take it off the list."
            yield Record(law, dtype, "failed", 0, 0.0, message)


def count_of(examples: int | None, thorough: bool) -> int:
    """Return how many inputs to try.

    Raises:
        FeatmixError: If that is no whole number from 1 up.
    """
    if examples is not None and (not isinstance(examples, int) or isinstance(examples, bool) or examples < 1):
        raise FeatmixError("check", "examples", expected="a whole number from 1 up", got=repr(examples))
    return default_examples(thorough=thorough) if examples is None else examples


def _reason(task: Task, expected: Mapping[str, str]) -> str | None:
    return expected.get(f"{task.law.name}-{task.dtype_name}", expected.get(task.law.name))


def _kinds_for(subject: Strategy | Normalizer, kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
    return ("normalizer",) if isinstance(subject, Normalizer) else kinds


def check_names(names: Iterable[str], kinds: tuple[Kind, ...], *, with_dtypes: bool = True) -> None:
    """Check that laws, or laws in one dtype, exist.

    Raises:
        FeatmixError: If they do not.
    """
    known = [one.name for one in laws(*kinds)]
    for name in names:
        law, _, dtype = name.partition("-") if with_dtypes else (name, "", "")
        if law not in known or (dtype and dtype not in {str(one).removeprefix("torch.") for one in DTYPES}):
            raise FeatmixError("check", "law", expected="the name of a law", got=repr(name), fix=nearest(law, known))


def _report(message: str, on_fail: OnFail) -> None:
    if on_fail == "raise":
        raise LawError(message)
    if on_fail == "warn":
        warnings.warn(message, stacklevel=4)
