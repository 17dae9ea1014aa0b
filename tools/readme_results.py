"""Write the result of ``make compare`` into README.md: its table, its figure, and where and with what it was measured.

Run ``make compare`` and then ``python tools/readme_results.py``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
FIGURE = Path("docs/images/compare.png")
KEPT = ("- 60 runs", "- Time", "- Versions", "- Machine")


def results(summary: str) -> str:
    """The part of ``summary.md`` that a reader of the README wants to see.

    Raises:
        ValueError: If it is not the summary of the default run.
    """
    table = [line for line in summary.partition("## ")[0].splitlines() if line.startswith("|")]
    reading = next(line for line in summary.splitlines() if "Student-t" in line)
    facts = [line.removeprefix("- ") for line in summary.splitlines() if line.startswith(KEPT)]
    if len(facts) != len(KEPT):
        raise ValueError("expected the summary of the default run of featmix compare, 60 runs")
    picture = f"![Accuracy in and out of the training domains, and paired differences to the baseline]({FIGURE})"
    return "\n\n".join(
        [
            "What `make compare` prints: digits in four styles, trained on three and tested on unseen digits of those three "
            "(in-domain) and of the fourth (held-out), for each style in turn.",
            "\n".join(table),
            picture,
            reading,
            "\n".join(f"- {fact}" for fact in facts),
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    """Write; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write the result of make compare into README.md.")
    parser.add_argument("--out", type=Path, default=ROOT / "compare-out", help="the folder that make compare wrote")
    options = parser.parse_args(arguments)
    readme = ROOT / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    found = results((options.out / "summary.md").read_text(encoding="utf-8"))
    readme.write_text(f"{before}{BEGIN}\n\n{found}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    (ROOT / FIGURE).parent.mkdir(exist_ok=True)
    shutil.copyfile(options.out / "summary.png", ROOT / FIGURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
