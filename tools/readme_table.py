"""Write the tables into README.md: strategies from the registry, speed from the results of the benchmarks.

Run ``python tools/readme_table.py`` after adding a strategy; ``make bench`` runs it too. With ``--check`` nothing is written,
and the exit status is 1 where a table is not what it should be.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import featmix as fm

ROOT = Path(__file__).resolve().parent.parent
README, RESULTS = ROOT / "README.md", ROOT / "docs" / "benchmarks" / "results.json"


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def strategy_table(link: Callable[[str], str] = lambda name: f"`{name}`") -> str:
    """One row for each strategy in the registry.

    Args:
        link: What stands in the first column for a name.
    """
    rows = []
    for name in fm.list_strategies():
        cls = fm.strategy_class(name)
        tags = cls.tags
        mixes = "yes" if tags.mixes_labels else "no"
        rows.append([link(name), f"`{cls.__name__}`", mixes, tags.default_site, tags.moments or "none", cited(tags)])
    return markdown_table(["name", "class", "mixes labels", "usual place", "moments", "paper"], rows)


def cited(tags: fm.Tags) -> str:
    """The paper in short, linked: ``Li et al., On Feature Normalization, CVPR 2021`` is ``Li et al. 2021``."""
    found = re.fullmatch(r"(?P<authors>[^,]+),.* (?P<year>\d{4})", tags.paper)
    short = f"{found['authors']} {found['year']}" if found else tags.paper
    return f"[{short}]({tags.url})" if tags.url else short


def speed_table() -> str:
    """CPU time of moment exchange and mixing divided by that of ``x.clone()``, with the machine that measured it."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    parts, rows = results["parts"], []
    for each in parts["exchange"]["rows"]:
        if each["labels"]["shape"] == "64×64×56×56":
            ours, formula, clone = (each["timings"][who]["median"] for who in ("featmix", "formula", "clone"))
            rows.append(
                [f"{each['labels']['strategy']}, hidden layer", f"{ours / clone:.1f}", f"formula {formula / clone:.1f}"]
            )
    for method in ("mixup", "cutmix"):
        found = {each["labels"]["who"]: each["values"]["clones"] for each in parts["mixing"]["rows"]
                 if each["labels"]["method"] == method and each["labels"]["memory"] == "new memory"}  # fmt: skip
        others = ", ".join(f"{who} {clones:.1f}" for who, clones in found.items() if "featmix" not in who)
        rows.append([f"{method}, images", f"{found['featmix']:.1f}", others])
    table = markdown_table(["forward on the CPU", "featmix", "others"], rows)
    machine = f"{results['machine']['processor']}, {results['machine']['cores']} cores, torch {results['versions']['torch']}"
    said = "The figures are CPU time divided by that of `x.clone()`; lower is better. They come from one machine"
    return f"{table}\n{said} ({machine}, {results['date']}), not from the card above.\n"


def updated(text: str) -> str:
    """The README's text with the tables of today between their markers.

    Raises:
        ValueError: If a marker is missing, stands twice, or the two of a table stand in the wrong order.
    """
    for name, table in {"strategies": strategy_table, "speed": speed_table}.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
            raise ValueError(f"expected {begin} and then {end}, once each")
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{table()}\n{end}{rest.split(end)[1]}"
    return text


def main(arguments: list[str] | None = None) -> int:
    """Write or check; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write the tables into README.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a table is stale")
    parser.add_argument("--readme", type=Path, default=README, help="the file that holds the markers")
    options = parser.parse_args(arguments)
    old = options.readme.read_text(encoding="utf-8")
    new = updated(old)
    if new == old:
        return 0
    if options.check:
        sys.stderr.write(f"{options.readme.name}: a table is stale; run python tools/readme_table.py\n")
        return 1
    options.readme.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
