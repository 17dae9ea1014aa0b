"""Write the table of strategies into README.md, from the registry.

Run ``python tools/readme_table.py`` after adding a strategy. With ``--check`` nothing is written, and the exit status is 1
where the table is not what the registry says.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import featmix as fm

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- strategies:begin -->", "<!-- strategies:end -->"


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
    for name in fm.available():
        cls = fm.strategy_class(name)
        tags = cls.tags
        paper = f"[{tags.paper}]({tags.url})" if tags.url else tags.paper
        mixes = "yes" if tags.mixes_labels else "no"
        rows.append([link(name), f"`{cls.__name__}`", mixes, tags.where, tags.default_site, tags.moments or "none", paper])
    return markdown_table(["name", "class", "mixes labels", "works at", "usual place", "moments", "paper"], rows)


def updated(text: str) -> str:
    """The README's text with the table of today between its markers.

    Raises:
        ValueError: If a marker is missing, stands twice, or the two stand in the wrong order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"expected {BEGIN} and then {END}, once each")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{strategy_table()}\n{END}{rest.split(END)[1]}"


def main(arguments: list[str] | None = None) -> int:
    """Write or check; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write the table of strategies into README.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where the table is stale")
    parser.add_argument("--readme", type=Path, default=README, help="the file that holds the markers")
    options = parser.parse_args(arguments)
    old = options.readme.read_text(encoding="utf-8")
    new = updated(old)
    if new == old:
        return 0
    if options.check:
        sys.stderr.write(f"{options.readme.name}: the table of strategies is stale; run python tools/readme_table.py\n")
        return 1
    options.readme.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
