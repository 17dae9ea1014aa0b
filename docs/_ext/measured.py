"""Tables and figures of the benchmarks: of the CPU from what ``make bench`` wrote, of GPUs from each card's own file."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parent.parent
EXTRA = "extra time, %"  # a column of those benchmarks that time whole training steps
sys.path.append(str(DOCS.parent))

from readme_table import markdown_table  # noqa: E402

from benchmarks.report import card_markdown, drawn, markdown, shown  # noqa: E402 - the path comes first
from benchmarks.results import Results, Row  # noqa: E402


def pages() -> dict[str, str | bytes]:
    folder = DOCS / "benchmarks"
    results = Results.load(folder / "results.json")
    made: dict[str, str | bytes] = {
        "parts/benchmarks.md": markdown(results, "_generated/images/benchmark-{}.png"),
        "parts/step_cost.md": step_cost([results, *shown(folder)]),
        "parts/devices.md": "\n".join(card_markdown(each) for each in shown(folder)) or "No card was measured.\n",
    }
    for name, figure in drawn(results).items():
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=110, metadata={"Software": None})
        made[f"images/benchmark-{name}.png"] = picture.getvalue()
    return made


def step_cost(found: list[Results]) -> str:
    """What a strategy adds to a training step, on each machine: networks of a usual size, not the small one of the tests."""
    rows = [[*_step(row), machine] for machine, row in _steps(found)]
    return markdown_table(["network", "with", "extra time", "95 % interval", "on"], rows) if rows else "Not measured yet.\n"


def _steps(found: list[Results]) -> Iterator[tuple[str, Row]]:
    for results in found:
        machine = results.machine.get("card", f"CPU, {results.machine.get('cores', '?')} cores")
        for row in (row for part in results.parts.values() for row in part.rows if EXTRA in row.values):
            if "small" not in row.labels.get("network", row.labels.get("step", "")):
                yield machine, row


def _step(row: Row) -> list[str]:
    network = row.labels.get("network") or f"{row.labels['step']}, {row.labels['mode']}"
    strategy = row.labels.get("with") or f"{row.labels['strategy']} at {row.labels['site']}"
    return [network, strategy, f"{row.values[EXTRA]:+.1f} %", f"{row.values['from']:+.1f} to {row.values['to']:+.1f} %"]
