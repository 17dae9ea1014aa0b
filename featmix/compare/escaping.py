"""Escapes text in tables and reports, since file names and error messages of results may come from an untrusted source."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from featmix.errors import printable

_MARKUP = re.compile(r"[\\`*\[\]|#~$]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])|:(?=//)|^[-+=](?=\s)")
_DIGEST = re.compile(r"(.*-)([0-9a-f]{32})", re.DOTALL)
_SHOWN = 6  # digits of a digest: enough for people to tell the versions of one file apart
_LONGEST = 500


def for_terminal(text: object) -> str:
    r"""Return text in one line without control characters for a terminal.

    Example:
        >>> print(for_terminal("a\x1b[2J\nb"))
        a\x1b[2J b
    """
    flat = " ".join(printable(str(text)).split())
    return flat if len(flat) <= _LONGEST else flat[: _LONGEST - 3] + "..."


def for_markdown(text: object) -> str:
    r"""Return text that Markdown, also when it is converted to HTML, shows as it is.

    Example:
        >>> print(for_markdown("<script> *a* num_classes=2 | [b](http://c)"))
        &lt;script&gt; \*a\* num_classes=2 \| \[b\](http\://c)
    """
    return _MARKUP.sub(r"\\\g<0>", html.escape(for_terminal(text), quote=False))


def for_figure(text: object) -> str:
    """Return text that matplotlib shows as it is, and not as formulas."""
    return for_terminal(text)[:100].replace("$", r"\$")


def shown_labels(labels: Iterable[str]) -> dict[str, str]:
    """Return a short form of each label: digests are cut to a few characters, or as many as distinguish them.

    Example:
        >>> shown_labels(["moex", "pipeline:aug-" + "0123456789abcdef" * 2])["pipeline:aug-" + "0123456789abcdef" * 2]
        'pipeline:aug-012345'
    """
    every = set(labels)
    return {label: _short(label, every) for label in every}


def _short(label: str, every: set[str]) -> str:
    match = _DIGEST.fullmatch(label)
    if match is None:
        return label
    begin, digest = match.groups()
    cut = (begin + digest[:digits] for digits in range(_SHOWN, len(digest)))
    return next((one for one in cut if not any(other != label and other.startswith(one) for other in every)), label)
