"""Install the wheel and the sdist of a folder where nothing else is installed, and use featmix a little from each.

python -m build
python tools/try_dist.py dist
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PROGRAM = """
import importlib.resources
import torch
import featmix as fm

x = torch.randn(4, 8, 6, 6)
for name in fm.list_strategies():
    strategy = fm.create(name)
    mixed = strategy.transform(x, strategy.make_params(x.shape))
    assert mixed.shape == x.shape, name
files = importlib.resources.files("featmix")
assert files.joinpath("py.typed").is_file() and files.joinpath("__init__.pyi").is_file()
print(fm.__version__, len(fm.list_strategies()), files)
"""


def use(python: Path, outside: Path) -> str:
    """Use featmix in the environment of an interpreter, away from this checkout; returns what was said.

    Raises:
        RuntimeError: If the program fails, or the command, which lacks what it needs here, does not say so in one line.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([python, "-c", PROGRAM], cwd=outside, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"expected a program that uses featmix to run, got:\n{done.stderr}")
    for bare, wanted in (("--version", "featmix "), ("list", "moex")):
        asked: list[str | Path] = [python.parent / "featmix", bare]
        told = subprocess.run(asked, cwd=outside, env=environment, capture_output=True, text=True, check=False)
        if told.returncode or wanted not in told.stdout:
            raise RuntimeError(f"expected {bare} to work bare, got:\n{told.stdout}{told.stderr}")
    command: list[str | Path] = [python.parent / "featmix", "presets"]
    refused = subprocess.run(command, cwd=outside, env=environment, capture_output=True, text=True, check=False)
    if refused.returncode == 0 or "pip install" not in refused.stderr or "Traceback" in refused.stderr:
        raise RuntimeError(f"expected the command to say what to install, got:\n{refused.stdout}{refused.stderr}")
    return done.stdout.strip()


def main(arguments: list[str] | None = None) -> int:
    """Try both; returns the exit status."""
    parser = argparse.ArgumentParser(description="Try the wheel and the sdist of featmix in a bare environment.")
    parser.add_argument("folder", type=Path, help="where python -m build has put them")
    folder = parser.parse_args(arguments).folder
    with tempfile.TemporaryDirectory() as temporary:
        outside = Path(temporary)
        venv.create(outside / "bare", with_pip=True)
        python = outside / "bare" / "bin" / "python"
        pip: list[str | Path] = [python, "-m", "pip", "install", "-qq", "--no-compile"]
        # The second replaces the first; torch and numpy are there by then.
        for pattern, options in (("*.whl", ()), ("*.tar.gz", ("--force-reinstall", "--no-deps"))):
            (built,) = folder.resolve().glob(f"featmix-{pattern}")
            subprocess.run([*pip, *options, built], check=True)
            sys.stdout.write(f"{built.name}: {use(python, outside)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
