"""The fuzzer of what strangers send: its corpus and its mutants are read or refused, and it notices what is neither."""

from __future__ import annotations

import random
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import featmix as fm

ROOT = Path(__file__).resolve().parent.parent.parent
TOOL, CORPUS = ROOT / "tools" / "fuzz_configuration.py", ROOT / "tests" / "configuration" / "corpus"
REFUSED = {
    "aliases": "no anchors and no aliases",
    "complex_tensor": "one of float32",
    "deep_blocks": "at most 48 levels",
    "deep_flow": "at most 48 levels",
    "full_width_digits": "a normalizer",
    "large_crop": "a number up to 4096",
    "large_memory": "a number up to 65536",
    "long_number": "a normalizer",
    "many_holes": "a number up to 1000",
    "many_packages": "a package that this configuration uses",
    "merged": "no anchors and no aliases",
    "nested_too_deep": "at most 48 levels",
    "tag": "no tags",
    "terminal": "printable characters",
    "wide_mixture": "a number up to 1000",
}
FUZZ = """
import sys
sys.path[:0] = {paths!r}
import pytest
from tests.interop.real_torchvision import torchvision_or_skip
try:
    torchvision_or_skip("torchvision.transforms.v2")
except pytest.skip.Exception:
    pass
import fuzz_configuration
raise SystemExit(fuzz_configuration.main(sys.argv[1:]))
"""


@pytest.fixture
def tool():
    return runpy.run_path(str(TOOL))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_corpus_is_read_or_refused_for_what_it_is(path):
    if "torchvision" in path.read_text():
        from tests.interop.real_torchvision import torchvision_or_skip

        torchvision_or_skip("torchvision.transforms.v2")
    if path.stem in REFUSED:
        with pytest.raises(fm.FeatmixError, match=REFUSED[path.stem]):
            fm.load(path)
    else:
        made = fm.load(path)
        assert fm.to_dict(fm.from_dict(fm.to_dict(made))) == fm.to_dict(made)


@pytest.mark.slow
def test_hundreds_of_mutants_each(tmp_path):
    """Seeded, under a cap on memory, in a process of its own; `make nightly` goes on for an hour."""
    program = FUZZ.format(paths=[str(ROOT), str(ROOT / "tools")])
    command = [sys.executable, "-c", program, "--runs", "700", "--engine", "own", "--kept", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for target, ends in (("folder", 20), ("configuration", 60)):
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{target}: ")]
        assert int(line.split()[3]) >= ends, line  # mutants that all end alike are near nothing
    assert not (tmp_path / "fuzz-canary").exists()


def test_an_input_that_fails_is_kept(tool, tmp_path, capsys):
    def target(data):
        if b"x" in data:
            raise KeyError("x")
        return "read"

    assert not tool["run"]("a", target, [b"abc", b"axc"], seed=0, runs=10, seconds=60, kept=tmp_path)
    assert (tmp_path / "failed-a").read_bytes() == b"axc"
    assert "KeyError" in capsys.readouterr().out


def test_what_comes_back_otherwise_and_what_steers_a_terminal_fail(tool, tmp_path, monkeypatch):
    target = tool["configuration"](tmp_path)
    good = (CORPUS / "good_tree.yaml").read_bytes()
    assert target(good).startswith("read: ")
    monkeypatch.setattr(fm, "to_dict", lambda thing: random.random())
    with pytest.raises(tool["Failed"], match="comes back otherwise"):
        target(good)

    class Steering(fm.FeatmixError):
        def __str__(self):
            return "\x1b[2J"

    def load(path):
        raise Steering("load", expected="x", got="y")

    monkeypatch.setattr(fm, "load", load)
    with pytest.raises(tool["Failed"], match="cannot be shown"):
        target(good)


def test_mutants_follow_their_seed_and_learn(tool):
    first, second = (tool["Mutants"]([b"abc", b"def"], 3) for _ in range(2))
    assert [first.next() for _ in range(50)] == [second.next() for _ in range(50)]
    first.learn(b"new", "refused")
    first.learn(b"newer", "refused")
    assert first.pool == [b"abc", b"def", b"new"]
