"""Tables and figures of the benchmarks, from the results that ``make bench`` wrote."""

import io
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent
sys.path.append(str(DOCS.parent))

from benchmarks.report import drawn, markdown  # noqa: E402 - the path comes first
from benchmarks.results import Results  # noqa: E402


def pages() -> dict[str, str | bytes]:
    results = Results.load(DOCS / "benchmarks" / "results.json")
    made: dict[str, str | bytes] = {"parts/benchmarks.md": markdown(results, "_generated/images/benchmark-{}.png")}
    for name, figure in drawn(results).items():
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=110, metadata={"Software": None})
        made[f"images/benchmark-{name}.png"] = picture.getvalue()
    return made
