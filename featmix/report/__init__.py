"""Report of a comparison: an HTML page, with the same content in JSON for programs and in LaTeX for papers."""

from __future__ import annotations

from featmix.report.writing import report

__all__ = ["report"]
