"""The page: sections with figures, tables and text, as one HTML file without external files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from featmix.compare.report import MARK
from featmix.errors import printable
from featmix.support.extras import imported


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Args:
        title: Its heading.
        drawn: Figures, as SVG that featmix made.
        head: Names of the table's columns; empty for no table.
        body: Lines of the table.
        below: Paragraphs below the table.
        points: Items of a list.
    """

    title: str
    drawn: Sequence[str] = ()
    head: Sequence[str] = ()
    body: Sequence[Sequence[str]] = ()
    below: Sequence[str] = ()
    points: Sequence[str] = ()

    @property
    def anchor(self) -> str:
        """The target of links in the table of contents."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())


def as_html(title: str, facts: Sequence[str], sections: Sequence[Section]) -> str:
    """Return the page; all arguments are escaped as text, never used as markup.

    Args:
        title: Title of the page.
        facts: Short facts, shown below the title.
        sections: Sections, from top to bottom.

    Raises:
        FeatmixError: If Jinja2 is missing.
    """
    jinja = imported("jinja2", subject="report", install="featmix[compare]")
    environment: Any = jinja.Environment(autoescape=True, undefined=jinja.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["line"] = _one_line
    source = files("featmix.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    template = environment.from_string(source)
    page: str = template.render(title=title, facts=facts, sections=sections, mark=MARK)
    return page


def _one_line(text: object) -> str:
    return " ".join(printable(str(text)).split())
