"""What was measured, on which machine, with which versions: one JSON file, written after each subset."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import torch

import featmix
from benchmarks import cards
from benchmarks.peers import aside
from benchmarks.timing import THREADS, Timing

_VERSIONS = ("featmix", "torch", "numpy", "kornia", "torchvision", "timm", "mixup")
_VERSIONS_ON_A_CARD = ("featmix", "torch", "triton", "torchvision", "timm")
_ROOT = Path(__file__).resolve().parent.parent
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Args:
        labels: What it is about, by column.
        values: What was found, by column.
        timings: The seconds that this comes from, by competitor.
    """

    labels: dict[str, str]
    values: dict[str, float]
    timings: dict[str, Timing] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """What one subset found.

    Args:
        rows: In the order in which they were measured.
        summary: What all rows together say, by name.
        missing: Why something was not measured.
        measured: When, and at which commit; parts of one file can come from different runs.
    """

    rows: list[Row]
    summary: dict[str, float] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    measured: str = ""


@dataclass(frozen=True)
class Results:
    """All that was found.

    Args:
        machine: Where.
        versions: With what.
        date: When the file was begun, by day.
        quick: Whether it was a rehearsal.
        parts: By subset.
        note: What a reader has to know first; empty for results of the present code.
    """

    machine: dict[str, str]
    versions: dict[str, str]
    date: str
    quick: bool
    parts: dict[str, Part] = field(default_factory=dict)
    note: str = ""

    @staticmethod
    def here(*, quick: bool) -> Results:
        """Nothing yet, on this machine."""
        found = {name: _version(name) for name in _VERSIONS}
        return Results(_machine(), found, datetime.now(UTC).date().isoformat(), quick)

    @staticmethod
    def on_card(*, quick: bool) -> Results:
        """Nothing yet, on the card of this machine."""
        found = {name: _version(name) for name in _VERSIONS_ON_A_CARD} | {"CUDA": torch.version.cuda or "none"}
        return Results(cards.facts() | _machine(), found, datetime.now(UTC).date().isoformat(), quick)

    def continues(self, other: Results) -> bool:
        """Whether parts of the other run stand beside those of this one."""
        return (self.machine, self.versions, self.quick) == (other.machine, other.versions, other.quick)

    @staticmethod
    def load(path: Path) -> Results:
        """From a file that :meth:`save` wrote."""
        plain = json.loads(path.read_text())
        return Results(**{**plain, "parts": {name: _part(part) for name, part in plain["parts"].items()}})

    def save(self, path: Path) -> None:
        """Write the file whole, or leave the one that is there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".partial")
        temporary.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")
        temporary.replace(path)


def _part(plain: dict[str, Any]) -> Part:
    rows = [
        Row(row["labels"], row["values"], {who: Timing(**seconds) for who, seconds in row["timings"].items()})
        for row in plain["rows"]
    ]
    return Part(rows, plain["summary"], plain["missing"], plain.get("measured", ""))


def moment(commit: str = "") -> str:
    """Now, and the commit that is measured; that its code was changed since is said.

    Args:
        commit: Where a copy is measured that git knows nothing of.
    """
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    if commit:
        return f"{now}, commit {commit}"
    try:
        commit, changes = (_git(*words) for words in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "featmix")))
    except (OSError, subprocess.CalledProcessError):  # no git, or no repository
        return f"{now}, commit unknown"
    return f"{now}, commit {commit}{' with changes' if changes else ''}"


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=_ROOT, check=True, capture_output=True, text=True).stdout.strip()


def _machine() -> dict[str, str]:
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        cpu = next((line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line), cpu)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 0
    huge = _HUGE_PAGES.read_text() if _HUGE_PAGES.is_file() else ""
    return {
        "processor": cpu,
        "cores": str(os.cpu_count() or "unknown"),
        "threads": str(THREADS),
        "memory": f"{memory:.0f} GiB",
        "huge pages": huge.partition("[")[2].partition("]")[0] or "unknown",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "Python": platform.python_version(),
    }


def _version(name: str) -> str:
    found = distributions(name=name, path=[*sys.path, str(aside())])
    if name == "featmix":
        return next((each.version for each in found), featmix.__version__)  # a copy can be measured as it lies there
    return next((each.version for each in found), "not installed")
