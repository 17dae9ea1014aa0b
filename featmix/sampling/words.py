"""The words that settings take, as types: an editor completes them, and the choices at run time are read off them.

Example:
    >>> from typing import get_args
    >>> get_args(Per)
    ('batch', 'sample')
"""

from __future__ import annotations

from typing import Literal

Per = Literal["batch", "sample"]
"""Whether something is drawn once for the whole batch, or for each sample."""

Partner = Literal["derangement", "permutation", "crossdomain"]
"""Who takes from whom: no row from itself, a random permutation as in the papers, or rows of another domain."""

Crop = Literal["neither", "style", "content", "both"]
"""Whose map is cropped before its moments are taken: that of the sample that lends them, of the one that takes them."""

Spectrum = Literal["intended", "published"]
"""The frequencies of a mask: as the paper of FMix has them, or as its code does."""
