"""Count false alarms: hold everything in the registry to every law, and report each refusal.

All of it is meant to be right, so that each refusal is a law that is wrong, or a strategy. Laws over attached strategies, which
cost seconds each and draw nothing, are left out. The exit status is 1 where there was an alarm.

    python tools/false_alarms.py --examples 20
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

import hypothesis
import torch

from featmix.normalizers.base import Normalizer
from featmix.strategies.base import Strategy
from featmix.testing import LawError, every_default, every_normalizer, every_strategy, laws, run_law
from featmix.testing.law import CannotRunError

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def subjects() -> Iterator[Strategy | Normalizer]:
    """Every strategy and normalizer, in each setting that changes what it does."""
    yield from every_default()
    yield from every_strategy()
    yield from every_normalizer()


def alarms_of(subject: Strategy | Normalizer, examples: int) -> tuple[int, list[str]]:
    """Inputs tried on one subject, and the messages of the laws that refused it."""
    tried, alarms = 0, []
    for law in laws("normalizer" if isinstance(subject, Normalizer) else "strategy"):
        if not law.applies(subject):
            continue
        for dtype in law.dtypes(DTYPES):
            try:
                tried += run_law(law, subject, dtype, examples)
            except CannotRunError:
                continue
            except LawError as error:
                tried += examples if law.drawn else 1
                alarms.append(f"{law.name} in {dtype}: {error}")
    return tried, alarms


def main(arguments: list[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description="Count false alarms over everything in the registry.")
    parser.add_argument("--examples", type=int, default=20, help="inputs for each law and dtype")
    parser.add_argument("--seeded", action="store_true", help="the same inputs at every run")
    options = parser.parse_args(arguments)
    hypothesis.settings.register_profile("false alarms", derandomize=options.seeded, print_blob=False)
    hypothesis.settings.load_profile("false alarms")
    torch.set_num_threads(1)
    start, cases, alarms, count = time.perf_counter(), 0, 0, 0
    for subject in subjects():
        tried, messages = alarms_of(subject, options.examples)
        cases, alarms, count = cases + tried, alarms + len(messages), count + 1
        for message in messages:
            sys.stdout.write(f"{message}\n\n")
            sys.stdout.flush()
    seconds = time.perf_counter() - start
    sys.stdout.write(f"{count} subjects, {cases} cases, {alarms} alarms, {seconds:.0f} seconds\n")
    return int(alarms > 0)


if __name__ == "__main__":
    sys.exit(main())
