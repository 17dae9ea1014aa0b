"""Write what was measured into README.md: the result of ``make compare``, and what cards did in the benchmarks.

Run ``make compare`` and then ``python tools/readme_results.py``; ``--speed`` writes the sentence about speed alone, after
``python -m benchmarks device --out docs/benchmarks``, and ``--study`` a sentence of each part of the study alone, from the
results in ``docs/evidence``. The sentence on speed names each card with its versions and the day, and stands
between its own markers in the section on speed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
STUDY = ("<!-- study:begin -->", "<!-- study:end -->")
CARDS = ("<!-- cards:begin -->", "<!-- cards:end -->")
FIGURE = Path("docs/images/compare.png")
KEPT = ("- 120 runs", "- Time", "- Versions", "- Machine")


def results(summary: str) -> str:
    """The part of ``summary.md`` that a reader of the README wants to see.

    Raises:
        ValueError: If it is not the summary of the default run.
    """
    table, pairs = (_table(section) for section in summary.split("## ")[:2])
    reading, reading_pairs = (next(line for line in summary.splitlines() if word in line) for word in ("Student-t", "Holm's"))
    facts = [line.removeprefix("- ") for line in summary.splitlines() if line.startswith(KEPT)]
    if len(facts) != len(KEPT):
        raise ValueError("expected the summary of the default run of featmix compare, 120 runs")
    picture = f"![Accuracy in and out of the training domains, and paired differences to the baseline]({FIGURE})"
    return "\n\n".join(
        [
            "What `make compare` prints: digits in four styles, trained on three and tested on unseen digits of those three "
            "(in-domain) and of the fourth (held-out), for each style in turn.",
            "\n".join(table),
            picture,
            reading,
            "\n".join(pairs),
            reading_pairs,
            "\n".join(f"- {fact}" for fact in facts),
        ]
    )


def _table(section: str) -> list[str]:
    return [line for line in section.splitlines() if line.startswith("|")]


def speed(folder: Path) -> str:
    """What was measured on which card, from the files of the benchmarks."""
    sys.path.insert(0, str(ROOT))
    from benchmarks.report import sentence, shown

    return "\n\n".join(sentence(each) for each in shown(folder))


def study() -> str:
    """A sentence of each part of the study."""
    sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]
    return str(import_module("evidence").headlines())


def between(text: str, begin: str, end: str, new: str) -> str:
    """The text with this between its markers.

    Raises:
        ValueError: If a marker is missing, or stands twice.
    """
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"expected {begin} and then {end}, once each")
    before, rest = text.split(begin)
    return f"{before}{begin}\n\n{new}\n\n{end}{rest.split(end)[1]}"


def main(arguments: list[str] | None = None) -> int:
    """Write; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write what was measured into README.md.")
    parser.add_argument("--out", type=Path, default=ROOT / "compare-out", help="the folder that make compare wrote")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", help="the file that holds the markers")
    parser.add_argument("--speed", action="store_true", help="write the sentence about speed alone")
    parser.add_argument("--study", action="store_true", help="write the sentences of the study alone")
    options = parser.parse_args(arguments)
    text = options.readme.read_text(encoding="utf-8")
    if options.study:
        options.readme.write_text(between(text, *STUDY, study()), encoding="utf-8")
        return 0
    if options.speed or CARDS[0] in text:
        text = between(text, *CARDS, speed(ROOT / "docs" / "benchmarks"))
    if not options.speed:
        text = between(text, BEGIN, END, results((options.out / "summary.md").read_text(encoding="utf-8")))
        (ROOT / FIGURE).parent.mkdir(exist_ok=True)
        shutil.copyfile(options.out / "summary.png", ROOT / FIGURE)
    options.readme.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
