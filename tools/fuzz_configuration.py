"""Fuzz what reads files from strangers: configurations, and the folder that `featmix compare` goes on from.

Whatever is in a file, it is read or refused with a FeatmixError; a bad line of results may also be set aside with a warning.
What was read can be written, and comes back the same, or is too large. Where atheris is installed, its coverage guides what
configurations are tried; otherwise mutants that are refused for a new reason are what the next ones are made from. All of it
runs under a cap on memory, and an input that takes longer than a minute counts as a hang. The first input that fails is kept in
a file, and the exit status is 1.

    python tools/fuzz_configuration.py --seconds 60
    python tools/fuzz_configuration.py --runs 2000 --seed 3 --what folder
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

ATHERIS = importlib.util.find_spec("atheris") is not None and "own" not in sys.argv


def _followed() -> contextlib.AbstractContextManager[None]:
    """Let atheris see which ways through featmix an input takes, if it is there."""
    if not ATHERIS:
        return contextlib.nullcontext()
    followed: contextlib.AbstractContextManager[None] = importlib.import_module("atheris").instrument_imports(
        include=["featmix"]
    )
    return followed


with _followed():
    import featmix as fm
    import featmix.configuration.document  # what is imported at its first use would not be followed
    from featmix.compare.output import RUNS, SETTINGS, OutputFolder
    from featmix.compare.pairs import pairwise
    from featmix.compare.report import Circumstances, pairs_to_csv, to_csv, to_markdown
    from featmix.compare.results import Row
    from featmix.compare.statistics import summarize
    from featmix.errors import FeatmixWarning

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "configuration" / "corpus"
MEMORY, HANG = 3 * 10**9, 60

Target = Callable[[bytes], str]  # returns what became of an input, in a word or two: new words are worth a closer look

TOKENS = [
    *(b"[", b"]", b"{", b"}", b": ", b", ", b"- ", b"\n", b"? ", b"&a ", b"*a", b"!!", b"|\n", b"'", b'"', b"#", b"<<: "),
    *(b"null", b"true", b".inf", b".nan", b"-", b"1e999", b"1e308", b"9" * 30, b"100000000", b"-1", b"0.5", b"\xef\xbc\x95"),
    *(b"\x00", b"\xff", b"\x1b[2J", b"\xe2\x80\xae", b"<script>", b"__class__", b"os.system", b"list", b"entries", b"tensor"),
    *(b"class", b"members", b"arguments", b"function", b"enum", b"dtype", b"bfloat16", b"name", b"strategy", b"compose", b"at"),
    *(b"----1", b'""', b",", b"\r", b"NaN", b"x" * 200_000, b"[" * 2000, b'{"a":' * 2000, b"1_0", b"runs", b"calls", b"alpha="),
]


class Failed(Exception):  # noqa: N818 - an input that failed, not an error of this program
    """An input did what none may."""


def configuration(folder: Path) -> Target:
    """The target that loads a configuration, writes what was made, and loads that."""
    path, again = folder / "fuzzed.yaml", folder / "again.yaml"

    def target(data: bytes) -> str:
        path.write_bytes(data)
        try:
            made = fm.load(path)
        except fm.FeatmixError as error:
            return _kind_of(error)
        repr(made)
        try:
            fm.save(made, again)
        except fm.FeatmixError as error:
            return f"read, and not written: {_kind_of(error)}"
        if fm.to_dict(fm.load(again)) != fm.to_dict(made):
            raise Failed("what was written comes back otherwise")
        return f"read: {type(made).__name__}"

    return target


def results(folder: Path) -> Target:
    """The target that goes on from a folder of results and writes its report; the first byte says which file is replaced."""
    settings = {"data": "digits", "epochs": 3, "lr": 0.01, "limit": None}
    rows = [
        Row(*who, seed, domain, 0.9 + seed / 100, 0.5, 0.1, 0.01)
        for who in (("none", "", ""), ("mixup", "alpha=1.0", "input"), ("moex", "lam=0.5,norm=in", "layer1"))
        for seed in range(2)
        for domain in ("plain", "colors")
    ]
    rows[-1] = Row("moex", "lam=0.5,norm=in", "layer1", 1, "colors", error="RuntimeError: on purpose, with a | in it")
    with OutputFolder(folder / "out") as out:
        out.begin(settings)
        out.keep(rows)
        out.close_call({"runs": len(rows), "seconds": 3.5, "jobs": 2})
    good = {name: (folder / "out" / name).read_bytes() for name in (RUNS, SETTINGS)}
    names = list(good)

    def target(data: bytes) -> str:
        for name, content in good.items():
            (folder / "out" / name).write_bytes(content)
        (folder / "out" / names[data[0] % 2 if data else 0]).write_bytes(data[1:])
        try:
            with warnings.catch_warnings(record=True) as told, OutputFolder(folder / "out") as out:
                warnings.simplefilter("always")
                found = out.begin(settings)
        except fm.FeatmixError as error:
            return _kind_of(error)
        for warning in told:
            if not issubclass(warning.category, FeatmixWarning) or not str(warning.message).isprintable():
                raise Failed(f"a warning of another kind: {warning.message!r}")
        summaries = summarize(found)
        text = to_markdown(summaries, Circumstances(settings, found, out.calls, out.machines))
        pairs_to_csv(pairwise(found, "in_domain"))
        if "<" in text or not all(line.isprintable() for line in (text + to_csv(summaries)).split("\n")):
            raise Failed("words that steer what shows them")
        return f"{len(told)} set aside, {len(found)} kept" if told else "read"

    target.seeds = [bytes([number]) + content for number, content in enumerate(good.values())]  # type: ignore[attr-defined]
    return target


def _kind_of(error: fm.FeatmixError) -> str:
    """What an error says, without what came; one that a terminal or a person cannot read is a failure."""
    if len(str(error)) > 5000 or not str(error).isprintable():
        raise Failed(f"a message that cannot be shown: {str(error)[:500]!r}")
    return f"{error.expected[:60]} at {''.join(c for c in error.argument if c.isalpha() or c in '.[')[:60]}"


class Mutants:
    """Inputs made from others; one that led to something new is one to make others from.

    Args:
        seeds: The first inputs.
        seed: Of all that is drawn.
    """

    def __init__(self, seeds: list[bytes], seed: int) -> None:
        self.pool, self.random, self.met = list(seeds), random.Random(seed), set[str]()

    def next(self) -> bytes:
        """One to eight changes of an input, which may all be in one place."""
        data, draw = self.random.choice(self.pool), self.random
        for _ in range(draw.choice([1, 1, 2, 4, 8])):
            start = draw.randrange(len(data) + 1)
            end = min(len(data), start + draw.choice([0, 1, 4, 16, 64, 400]))
            other = draw.choice(self.pool)
            begin = draw.randrange(len(other) + 1)
            new = draw.choice(
                [
                    b"",
                    draw.choice(TOKENS),
                    draw.choice(TOKENS),
                    data[start:end] * draw.choice([2, 3, 40]),
                    other[begin : begin + draw.choice([8, 64, 400])],
                    bytes(byte ^ (1 << draw.randrange(8)) for byte in data[start:end][:4]) + data[start:end][4:],
                ]
            )
            data = (data[:start] + new + data[end:])[: 2**20]
        return data

    def learn(self, data: bytes, outcome: str) -> None:
        """Keep an input that led to something that no other has."""
        if outcome not in self.met and len(data) < 10_000:
            self.met.add(outcome)
            self.pool.append(data)


def run(name: str, target: Target, seeds: list[bytes], *, seed: int, runs: int, seconds: float, kept: Path) -> bool:
    """Try the seeds, and then mutants of them; return whether none failed."""
    mutants, begun, tried = Mutants(seeds, seed), time.monotonic(), 0
    while tried < len(seeds) or (tried < runs and time.monotonic() - begun < seconds):
        data = seeds[tried] if tried < len(seeds) else mutants.next()
        if not tried_one(name, target, data, kept, mutants):
            return False
        tried += 1
    print(f"{name}: {tried} inputs, {len(mutants.met)} different ends, none that failed")  # noqa: T201
    return True


def tried_one(name: str, target: Target, data: bytes, kept: Path, mutants: Mutants | None = None) -> bool:
    """Try one input; one that fails is kept in a file."""
    signal.alarm(HANG)
    try:
        outcome = target(data)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        path = kept / f"failed-{name}"
        path.write_bytes(data)
        print(f"{name}: {path} led to {traceback.format_exc()[-3000:]}")  # noqa: T201
        return False
    finally:
        signal.alarm(0)
    if mutants is not None:
        mutants.learn(data, outcome)
    return True


def run_atheris(target: Target, seeds: Path, *, seed: int, runs: int, seconds: float, kept: Path) -> None:
    """Search by coverage; ends the process."""
    atheris = importlib.import_module("atheris")

    def one(data: bytes) -> None:
        if not tried_one("configuration", target, data, kept):
            raise SystemExit(1)

    limits = [f"-seed={seed + 1}", f"-max_total_time={int(seconds)}", *([f"-runs={runs}"] if runs < sys.maxsize else [])]
    atheris.Setup([sys.argv[0], *limits, "-max_len=65536", "-rss_limit_mb=0", str(seeds)], one)
    atheris.Fuzz()


def _hung(signal_number: int, frame: FrameType | None) -> None:
    raise Failed(f"an input takes longer than {HANG} s")


def main(arguments: list[str] | None = None) -> int:
    """Fuzz as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=None, help="for all targets together")
    parser.add_argument("--runs", type=int, default=None, help="inputs for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--what", choices=["configuration", "folder", "all"], default="all")
    parser.add_argument("--engine", choices=["auto", "own", "atheris"], default="auto")
    parser.add_argument("--kept", type=Path, default=Path(), help="folder for an input that fails")
    given = parser.parse_args(arguments)
    runs = given.runs or sys.maxsize
    seconds = given.seconds or (60.0 if given.runs is None else float(sys.maxsize))
    wanted = ["folder", "configuration"] if given.what == "all" else [given.what]
    seconds /= len(wanted)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, _hung)
    warnings.simplefilter("ignore")
    good = True
    with tempfile.TemporaryDirectory() as scratch:
        for what in wanted:
            if what == "folder":
                target = results(Path(scratch))
                seeds: list[bytes] = target.seeds  # type: ignore[attr-defined]
            else:
                target, seeds = configuration(Path(scratch)), [path.read_bytes() for path in sorted(CORPUS.glob("*.yaml"))]
                if given.engine == "atheris" or (given.engine == "auto" and ATHERIS):
                    corpus = Path(scratch) / "corpus"
                    corpus.mkdir()
                    for number, data in enumerate(seeds):
                        (corpus / str(number)).write_bytes(data)
                    run_atheris(target, corpus, seed=given.seed, runs=runs, seconds=seconds, kept=given.kept)
            good = run(what, target, seeds, seed=given.seed, runs=runs, seconds=seconds, kept=given.kept) and good
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
