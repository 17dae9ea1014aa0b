"""``python -m study``: runs the study behind the page Evidence; after an interruption, the same command continues."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from featmix.compare import compare
from featmix.compare.output import machine
from featmix.errors import FeatmixError
from featmix.probe import probe
from featmix.support.files import write
from study.parts import PARTS, Part

app = typer.Typer(add_completion=False)
NAMES = ", ".join(part.name for part in PARTS)


@app.command()
def main(
    chosen: Annotated[list[str] | None, typer.Argument(help=f"Which parts; all where none is named: {NAMES}.")] = None,
    out: Annotated[Path, typer.Option(help="A folder for each part is made here.")] = Path("docs/evidence"),
    seeds: Annotated[str | None, typer.Option(help="How many, or which, in place of each part's own.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A rehearsal; its figures mean nothing.")] = False,
) -> None:
    """Run the study, about two hours on two cores. Finished runs are kept, and the same command goes on after them."""
    console = Console()
    unknown = sorted(set(chosen or []) - {part.name for part in PARTS})
    if unknown:
        raise typer.BadParameter(f"no part {', '.join(unknown)}; there are {NAMES}")
    for part in PARTS:
        if not chosen or part.name in chosen:
            console.rule(part.question)
            folder = (out / "quick" if quick else out) / part.name
            begun, before = time.monotonic(), _results(folder)
            try:
                run(part, folder, seeds, jobs, quick)
            except FeatmixError as error:
                console.print(str(error), style="bold red", markup=False, highlight=False)
                raise typer.Exit(2) from None
            finally:
                if _results(folder) != before:
                    note(folder, part, time.monotonic() - begun)


def run(part: Part, folder: Path, seeds: str | None, jobs: int | None, quick: bool) -> None:
    """Run one part.

    Args:
        part: The part.
        folder: The output folder.
        seeds: Seeds instead of the part's own.
        jobs: Number of processes.
        quick: Few images and seeds.

    Raises:
        FeatmixError: If it cannot be run, for example if a data set is missing.
    """
    number = seeds if seeds is not None else None if quick else part.seeds
    if part.is_probe:
        probe(seeds=number, out=folder, quick=quick, **part.settings)
        return
    small: dict[str, Any] = {
        name: value for name, value in part.settings.items() if not (quick and name in ("limit", "epochs"))
    }
    compare(list(part.strategies), site=part.site, seeds=number, jobs=jobs, out=folder, quick=quick, **small)


def note(folder: Path, part: Part, seconds: float) -> None:
    """Write command, commits, date and time of a part's results; those of an interrupted call count too.

    Args:
        folder: The part's folder.
        part: The part.
        seconds: How long the call took.
    """
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    path = folder / "made.json"
    before: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {"commits": [], "seconds": 0}
    made = {
        "command": f"python -m study {part.name}",
        "commits": list(dict.fromkeys([*before["commits"], commit or "unknown"])),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "seconds": round(before["seconds"] + seconds),
        "machine": machine(),
    }
    write(path, json.dumps(made, indent=2) + "\n")


def _results(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*.csv")}


if __name__ == "__main__":
    app()
