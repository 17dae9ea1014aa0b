"""Laws as tests of pytest: the decorator, and what the plugin ``pytest_featmix`` makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import torch

from featmix.errors import FeatmixError, nearest
from featmix.testing.adapters import adapt
from featmix.testing.check import OF_STRATEGIES, check_names, count_of, planned, records_of
from featmix.testing.law import Kind
from featmix.testing.runner import DTYPES, Task, name_of

Expected = Mapping[str, str] | Callable[[Any], Mapping[str, str]] | None


def featmix_laws(
    *subjects: Any,
    only: Sequence[str] | None = None,
    examples: int | None = None,
    thorough: bool = False,
    dtypes: Iterable[torch.dtype] = DTYPES,
    kinds: tuple[Kind, ...] = OF_STRATEGIES,
    expected_failed_checks: Expected = None,
) -> Any:
    """A marker of pytest that makes one test of each law, for each subject; the test calls ``check``.

    The options ``--featmix-examples``, ``--featmix-thorough``, ``--featmix-laws`` and ``--featmix-dtype`` go over what is said
    here. A law that is not for a subject is a test that is skipped, with the reason. ``pytest -m featmix`` runs these alone.

    Args:
        subjects: Strategies, normalizers, or anything that :func:`~featmix.testing.adapters.accept.adapt` makes one of.
        only: See :func:`~featmix.testing.check.check_strategy`.
        examples: See there.
        thorough: See there.
        dtypes: See there.
        kinds: See there.
        expected_failed_checks: Laws that are known not to hold, with the reason, by name or by ``name-dtype``, or a function
            that gives them for a subject as it was passed in. They are reported as ``xfail``; one that holds after all fails.

    Raises:
        FeatmixError: If there is no subject.

    Example:
        >>> import featmix as fm
        >>> @featmix_laws(fm.MoEx("pono"), fm.normalizer("in"))
        ... def test_laws(check):
        ...     check()
    """
    import pytest

    if not subjects:
        raise FeatmixError("featmix_laws", "subjects", expected="strategies or normalizers", got="none")
    said: dict[str, Any] = {"only": only, "examples": examples, "thorough": thorough, "dtypes": tuple(dtypes), "kinds": kinds}
    return pytest.mark.featmix.with_args(*subjects, **said, expected_failed_checks=expected_failed_checks)


class LawRun:
    """One law on one subject, in every dtype that it tells apart: what a test is given as ``check``.

    Args:
        name: Of the test.
        tasks: The law in each dtype.
        examples: Inputs to try.
        expected: Laws that are known not to hold.
    """

    def __init__(self, name: str, tasks: Sequence[Any], examples: int, expected: Mapping[str, str]) -> None:
        self.name, self.examples, self.expected = name, examples, expected
        self.tasks: list[Task] = list(tasks)

    def __call__(self) -> None:
        """Try it; fails, skips, or fails as expected, in pytest's way."""
        import pytest

        __tracebackhide__ = True
        records = list(records_of(self.tasks, self.examples, self.expected, None))
        failed = [record.message for record in records if record.status == "failed"]
        if failed:
            pytest.fail("\n\n".join(failed), pytrace=False)
        reasons = {record.reason for record in records if record.status == "expected failure"}
        if reasons:
            pytest.xfail("; ".join(sorted(reasons)))
        if all(record.status == "skipped" for record in records):
            pytest.skip(records[0].reason)

    def __repr__(self) -> str:
        return f"check of {self.name}"


def runs_of(subjects: Sequence[Any], said: Mapping[str, Any], options: Any = None) -> list[LawRun]:
    """What one marker asks for, as the options have it.

    Raises:
        FeatmixError: If a law or a dtype named does not exist, or a subject cannot be adapted.

    Example:
        >>> import featmix as fm
        >>> [run.name for run in runs_of([fm.Mixup()], {"only": ["identity", "labels"]})]
        ['mixup-labels', 'mixup-identity']
    """
    names = getattr(options, "featmix_laws", None)
    only = said.get("only") if names is None else [name.strip() for name in names.split(",")]
    chosen = [_dtype(name) for name in getattr(options, "featmix_dtype", None) or ()] or said.get("dtypes", DTYPES)
    examples = getattr(options, "featmix_examples", None)
    thorough = getattr(options, "featmix_thorough", False)
    if examples is None and not thorough:
        examples, thorough = said.get("examples"), said.get("thorough", False)
    count = count_of(examples, thorough)
    expectation = said.get("expected_failed_checks")
    runs: list[LawRun] = []
    taken: dict[str, int] = {}
    for given in subjects:
        expected = expectation(given) if callable(expectation) else expectation or {}
        check_names([*expected, *(only or ())], ("normalizer", "strategy", "attached"))
        subject = adapt(given)
        name = subject.name or type(subject).__name__
        taken[name] = taken.get(name, 0) + 1
        title = name if taken[name] == 1 else f"{name}({taken[name]})"
        mine = _known(planned(subject, dtypes=chosen, kinds=said.get("kinds", OF_STRATEGIES)), only)
        for law, tasks in groupby(mine, key=lambda task: task.law.name):
            runs.append(LawRun(f"{title}-{law}", [*tasks], count, expected))
    return runs


def _known(tasks: Iterable[Task], only: Sequence[str] | None) -> Iterator[Task]:
    """Those named; a law of strategies says nothing to a normalizer beside them."""
    return (task for task in tasks if only is None or task.law.name in only)


def _dtype(name: str) -> torch.dtype:
    known = {str(name_of(dtype)): dtype for dtype in DTYPES}
    if name.removeprefix("torch.") not in known:
        raise FeatmixError("--featmix-dtype", expected="a floating dtype", got=repr(name), fix=nearest(name, known))
    return known[name.removeprefix("torch.")]
