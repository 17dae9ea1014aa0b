"""One page of a comparison for people, and the same for programs and papers: HTML, JSON and LaTeX."""

from __future__ import annotations

from featmix.report.writing import report

__all__ = ["report"]
