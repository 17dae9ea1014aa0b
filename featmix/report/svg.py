"""Figures as SVG inside a page."""

from __future__ import annotations

import io
import re
from typing import Any

from featmix.support.extras import imported

_REM_PER_INCH = (4.2, 6.6)  # at the least and at the most: letters are readable on a telephone, and no larger than text
_SIZE = re.compile(r'<svg ([^>]*?)width="[^"]*"([^>]*?)height="[^"]*"', re.DOTALL)
_SIZE_TURNED = re.compile(r'<svg ([^>]*?)height="[^"]*"([^>]*?)width="[^"]*"', re.DOTALL)


def inline_svg(figure: Any, name: str) -> str:
    """Return a figure of matplotlib as an ``<svg>`` of full width, with text as text instead of paths.

    Args:
        figure: The figure.
        name: Distinguishes the references of this figure from those of other figures on the page.
    """
    matplotlib = imported("matplotlib", subject="report", install="featmix[compare]")
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    for size in (_SIZE, _SIZE_TURNED):
        drawn = size.sub(r"<svg \1\2", drawn, count=1)
    drawn = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", drawn)  # ids are the page's, not the picture's
    least, most = (f"{rem * figure.get_size_inches()[0]:.1f}rem" for rem in _REM_PER_INCH)
    drawn = drawn.replace("<svg ", f'<svg style="min-width: {least}; max-width: {most}" ', 1)
    return re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL).strip()
