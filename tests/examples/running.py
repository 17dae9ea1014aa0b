"""The examples, found by walking their folder, and run in this process."""

import runpy
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def load(name):
    """The names that an example defines; its own globals, so that it can be run with something replaced."""
    main = runpy.run_path(str(ROOT / "examples" / f"{name}.py"))["main"]
    return main.__globals__


def run(name, **sizes):
    """What ``main`` gives; torch's generator is as before."""
    with torch.random.fork_rng():
        return load(name)["main"](**sizes)
