"""The command ``featmix check``: find the subject, test its laws while showing progress, and report."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import featmix as fm
from featmix.errors import FeatmixError, nearest
from featmix.normalizers.base import Normalizer
from featmix.normalizers.over import Over
from featmix.presets.registry import list_presets, preset
from featmix.spec import parse, parts_of
from featmix.support.loading import named_object
from featmix.support.progress import progress
from featmix.testing import Record, adapt, check_normalizer, check_strategy
from featmix.testing.check import planned
from featmix.testing.law import Kind
from featmix.testing.runner import DTYPES, Task


def run_check(target: str, *, as_json: bool = False, **settings: Any) -> bool:
    """Check one subject, or each strategy of a preset or a combination; returns whether every law holds.

    Args:
        target: ``package.module:Object``, ``file.py:Object``, a registered strategy or normalizer, several strategies with
            ``+`` between them, or a preset.
        as_json: Print JSON in place of a table: an object, or a list of them where there are several subjects.
        settings: Of :func:`check_one`.

    Raises:
        FeatmixError: As :func:`check_one`.
    """
    answers = [check_one(name, subject, **settings) for name, subject in _subjects(target)]
    if as_json:
        parts = [answer for answer, _ in answers]
        sys.stdout.write(json.dumps(parts if len(parts) > 1 else parts[0], indent=2) + "\n")
    else:
        for answer, records in answers:
            _report(answer["subject"], records, [record for record in records if record.status == "failed"])
    return all(answer["passed"] for answer, _ in answers)


def _subjects(target: str) -> list[tuple[str, Any]]:
    """Return what is to be checked, each by a name: one subject, or the strategies of a preset or a combination, each once."""
    if target.strip().lower() in list_presets():
        leaves = {repr(leaf.strategy): leaf for leaf in reversed(preset(target.strip()).leaves())}
        return [(f"{leaf.strategy.name} at {leaf.place}", leaf.strategy) for leaf in reversed(leaves.values())]
    parts = parts_of(target) if ":" not in target or "=" in target else [target]
    with _printing_aside():
        return [(part, find_subject(part)) for part in dict.fromkeys(parts)]


def check_one(
    target: str,
    found: Any,
    *,
    laws: Sequence[str] | None = None,
    examples: int | None = None,
    thorough: bool = False,
    budget: float | None = None,
    dtypes: Sequence[str] | None = None,
    attached: bool = True,
) -> tuple[dict[str, Any], list[Record]]:
    """Check one subject and show progress; returns the result, for programs and as records.

    Args:
        target: What the subject is called.
        found: The subject.
        laws: Names; all that apply where not given.
        examples: Inputs for each law and dtype; 20 where not given, or what ``FEATMIX_EXAMPLES`` says.
        thorough: 200 examples where not given.
        budget: Seconds after which what is left is not tried.
        dtypes: Names; all where not given.
        attached: Whether laws inside a model are tried.

    Raises:
        FeatmixError: If there is no such subject, law or dtype, or none of the laws applies.
    """
    chosen = [_dtype(name) for name in dtypes] if dtypes else list(DTYPES)
    kinds: tuple[Kind, ...] = ("strategy", "attached") if attached else ("strategy",)
    with _printing_aside():
        subject = adapt(found)
        tasks = planned(subject, only=laws, dtypes=chosen, kinds=kinds)
    if all(task.skipped for task in tasks):
        why = "; ".join(f"{task.law.name}: {task.skipped}" for task in tasks)
        raise FeatmixError(
            "check", "laws", expected="laws that apply", got=", ".join(laws or ()), fix=f"To {target} none does. {why}."
        )
    words = _words(tasks)
    first = f"0 failed, now {tasks[0].law.name}"
    with progress(Console(stderr=True), len(tasks), "laws", words=first) as advance, _printing_aside():

        def done(record: Record) -> None:
            advance(words(record))

        settings: dict[str, Any] = {"only": laws, "examples": examples, "thorough": thorough, "budget": budget}
        settings |= {"dtypes": chosen, "on_fail": None, "callback": done}
        if isinstance(subject, Normalizer):
            records = check_normalizer(subject, **settings)
        else:
            records = check_strategy(subject, kinds=kinds, **settings)
    failed = [record for record in records if record.status == "failed"]
    slowest = [{"law": law, "seconds": seconds} for law, seconds in _slowest(records)]
    unfinished = sorted({record.law for record in records if record.status == "unfinished"})
    answer = {"subject": target, "passed": not failed, "unfinished": unfinished, "slowest": slowest}
    answer["records"] = [record.as_dict() for record in records]
    return answer, records


def _printing_aside() -> contextlib.AbstractContextManager[Any]:
    """What a subject prints goes to stderr: stdout holds only the answer."""
    return contextlib.redirect_stdout(sys.stderr)


def find_subject(target: str) -> Any:
    """Return the object that ``package.module:Object``, ``path/to/file.py:Object`` or a registered name stands for.

    Raises:
        FeatmixError: If there is no such module or attribute, or the module cannot be imported.

    Example:
        >>> find_subject("gn4").name, find_subject("featmix.strategies.moex:MoEx").__name__
        ('gn4', 'MoEx')
    """
    name, colon, rest = target.partition(":")
    if name.partition("@")[0].strip().lower() in fm.list_strategies() and (not colon or "=" in rest):
        return parse(target, subject="check", argument="subject").strategy(**({} if colon else {"p": 1.0}))
    if not colon or name.lower() == Over.kind:
        with contextlib.suppress(FeatmixError):
            return fm.normalizer(target)
        fix = nearest(name.lower(), [*fm.list_strategies(), *fm.list_normalizers()])
        raise FeatmixError(
            "check", "subject", expected="package.module:Object, or a registered name", got=repr(target), fix=fix
        )
    return named_object(target, subject="check", argument="subject")


def _dtype(name: str) -> torch.dtype:
    known = {str(dtype).removeprefix("torch."): dtype for dtype in DTYPES}
    if name.removeprefix("torch.") not in known:
        raise FeatmixError("check", "dtype", expected="a floating dtype", got=repr(name), fix=nearest(name, known))
    return known[name.removeprefix("torch.")]


def _words(tasks: Sequence[Task]) -> Callable[[Record], str]:
    """Return a function of the records as they come, that says how many have failed and which law is next."""
    done = failed = 0

    def words(record: Record) -> str:
        nonlocal done, failed
        done, failed = done + 1, failed + (record.status == "failed")
        coming = f", now {tasks[done].law.name} {tasks[done].dtype_name or ''}".rstrip() if done < len(tasks) else ""
        return f"{failed} failed{coming}"

    return words


def _report(target: str, records: Sequence[Record], failed: Sequence[Record]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 100)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("law", "dtype", "result", "examples", "seconds"):
        table.add_column(column, justify="right" if column in ("examples", "seconds") else "left", no_wrap=True)
    for record in records:
        style = "red" if record.status == "failed" else ""
        if record.status == "skipped":
            continue
        table.add_row(
            record.law, record.dtype or "-", record.status, str(record.examples), f"{record.seconds:.2f}", style=style
        )
    console.print(table)
    for record in failed:
        console.print(record.message + "\n", markup=False, highlight=False, soft_wrap=True)
    for reason in dict.fromkeys(record.reason for record in records if record.status == "skipped"):
        names = ", ".join(dict.fromkeys(record.law for record in records if record.reason == reason))
        console.print(f"skipped {names}: {reason}", highlight=False, markup=False)
    console.print("slowest: " + ", ".join(f"{law} {seconds:.1f} s" for law, seconds in _slowest(records)), highlight=False)
    skipped, unfinished = (sum(record.status == status for record in records) for status in ("skipped", "unfinished"))
    seconds, tried = sum(record.seconds for record in records), sum(record.examples for record in records)
    counted = len(records) - skipped - unfinished
    verdict = f"{len(failed)} of {counted} failed" if failed else f"all {counted} passed"
    verdict += f", {skipped} skipped" if skipped else ""
    verdict += f", {unfinished} NOT FINISHED within the budget" if unfinished else ""
    said = f"{target}: {verdict}; {tried} examples in {seconds:.1f} s"
    console.print(said, highlight=False, markup=False, soft_wrap=True)


def _slowest(records: Sequence[Record], count: int = 3) -> list[tuple[str, float]]:
    """The laws that took longest, over all dtypes, with their seconds."""
    seconds: dict[str, float] = {}
    for record in records:
        seconds[record.law] = seconds.get(record.law, 0.0) + record.seconds
    return [(law, round(spent, 3)) for law, spent in sorted(seconds.items(), key=lambda one: -one[1])[:count]]
