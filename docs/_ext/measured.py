"""Tables and figures of the benchmarks: of the CPU from what ``make bench`` wrote, of GPUs from each card's own file."""

import io
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent
sys.path.append(str(DOCS.parent))

from benchmarks.report import card_markdown, drawn, markdown, shown  # noqa: E402 - the path comes first
from benchmarks.results import Results  # noqa: E402


def pages() -> dict[str, str | bytes]:
    folder = DOCS / "benchmarks"
    results = Results.load(folder / "results.json")
    made: dict[str, str | bytes] = {
        "parts/benchmarks.md": markdown(results, "_generated/images/benchmark-{}.png"),
        "parts/devices.md": "\n".join(card_markdown(each) for each in shown(folder)) or "No card was measured.\n",
    }
    for name, figure in drawn(results).items():
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=110, metadata={"Software": None})
        made[f"images/benchmark-{name}.png"] = picture.getvalue()
    return made
