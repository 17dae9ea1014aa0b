"""The page: sections of pictures, tables and words, as one HTML file that needs no other."""

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
        drawn: Pictures, as SVG of our own making.
        head: Names of the table's columns; none is no table.
        body: Lines of the table.
        below: Paragraphs below it.
        points: A list of points.
    """

    title: str
    drawn: Sequence[str] = ()
    head: Sequence[str] = ()
    body: Sequence[Sequence[str]] = ()
    below: Sequence[str] = ()
    points: Sequence[str] = ()

    @property
    def anchor(self) -> str:
        """What the table of contents links to."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())


def as_html(title: str, facts: Sequence[str], sections: Sequence[Section]) -> str:
    """Return the page; what it is told is text, never markup.

    Args:
        title: Of the page.
        facts: A few words each, below the title.
        sections: From top to bottom.

    Raises:
        FeatmixError: Where Jinja2 is missing.
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
