"""The command ``featmix check``: find the subject, try its laws while showing how far it is, and report."""

from __future__ import annotations

import contextlib
import importlib
import json
import pkgutil
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
from featmix.spec import parse
from featmix.support.progress import progress
from featmix.testing import Record, adapt, check_normalizer, check_strategy
from featmix.testing.check import planned
from featmix.testing.law import Kind
from featmix.testing.runner import DTYPES, Task


def run_check(
    target: str,
    *,
    laws: Sequence[str] | None = None,
    examples: int = 200,
    dtypes: Sequence[str] | None = None,
    attached: bool = True,
    as_json: bool = False,
) -> bool:
    """Check one subject and print what came of it; returns whether every law holds.

    Args:
        target: ``package.module:Object``, or a registered strategy or normalizer.
        laws: Names; all that apply where not given.
        examples: Inputs for each law and dtype.
        dtypes: Names; all where not given.
        attached: Whether laws inside a model are tried.
        as_json: Print JSON in place of a table.

    Raises:
        FeatmixError: If there is no such subject, law or dtype, or none of the laws applies.
    """
    chosen = [_dtype(name) for name in dtypes] if dtypes else list(DTYPES)
    kinds: tuple[Kind, ...] = ("strategy", "attached") if attached else ("strategy",)
    subject = adapt(find_subject(target))
    tasks = planned(subject, only=laws, dtypes=chosen, kinds=kinds)
    if not tasks:
        raise FeatmixError(
            "check", "laws", expected="laws that apply", got=", ".join(laws or ()), fix=f"To {target} none does."
        )
    words = _words(tasks)
    first = f"0 failed, now {tasks[0].law.name}"
    with progress(Console(stderr=True), len(tasks), "laws", words=first) as advance:  # stdout holds the answer alone

        def done(record: Record) -> None:
            advance(words(record))

        if isinstance(subject, Normalizer):
            records = check_normalizer(subject, only=laws, examples=examples, dtypes=chosen, on_fail=None, callback=done)
        else:
            records = check_strategy(
                subject, only=laws, examples=examples, dtypes=chosen, kinds=kinds, on_fail=None, callback=done
            )
    failed = [record for record in records if record.status == "failed"]
    if as_json:
        answer = {"subject": target, "passed": not failed, "records": [record.as_dict() for record in records]}
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    else:
        _report(target, records, failed)
    return not failed


def find_subject(target: str) -> Any:
    """Return the object that ``package.module:Object`` or a registered name stands for.

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
    found: Any = _import(name)
    for part in rest.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            public = [known for known in dir(found) if not known.startswith("_")]
            raise FeatmixError(
                "check", "subject", expected=f"an attribute of {name}", got=repr(part), fix=nearest(part, public)
            ) from None
    return found


def _import(name: str) -> Any:
    if "" not in sys.path:
        sys.path.insert(0, "")  # the folder that the command is called in
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            parent, _, last = str(error.name).rpartition(".")
            fix = nearest(last, _modules(parent))
            raise FeatmixError("check", "subject", expected="a module", got=repr(error.name), fix=fix) from None
        raise FeatmixError(
            "check", "subject", expected=f"{name} to be importable", got=f"{type(error).__name__}: {error}"
        ) from error


def _modules(package: str) -> list[str]:
    """Names of the modules in a package, or of those in the current folder."""
    path = getattr(sys.modules[package], "__path__", []) if package else ["."]
    return [module.name for module in pkgutil.iter_modules(path)]


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
        table.add_row(
            record.law, record.dtype or "-", record.status, str(record.examples), f"{record.seconds:.2f}", style=style
        )
    console.print(table)
    for record in failed:
        console.print(record.message + "\n", markup=False, highlight=False, soft_wrap=True)
    seconds, tried = sum(record.seconds for record in records), sum(record.examples for record in records)
    verdict = f"{len(failed)} of {len(records)} failed" if failed else f"all {len(records)} passed"
    console.print(f"{target}: {verdict}; {tried} examples in {seconds:.1f} s", highlight=False, markup=False)
