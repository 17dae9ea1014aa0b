"""Names in any script on a picture: a font that has their letters, or numbers in place of letters that no font has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

_BOXES = "Last Resort"  # a font that has a box for every letter
NUMBERED = "names in letters of no installed font are numbered"


def families_for(texts: Iterable[str]) -> tuple[list[str], Callable[[str], str]]:
    """Return the families of fonts that draw some texts, and what makes a text of letters that they have.

    Letters that no installed font has would be drawn as boxes, all alike. A run of such letters becomes a number, the same
    one wherever it stands: ``#1``.

    Args:
        texts: All that is to be drawn.

    Returns:
        Families, in the order in which they are tried, and a function for each of the texts.

    Example:
        >>> families, drawable = families_for(["cat", "caf\u00e9"])
        >>> families, drawable("caf\u00e9")
        (['DejaVu Sans'], 'café')
    """
    usual = _usual()
    lacking = {letter for text in texts for letter in text if not letter.isspace() and ord(letter) not in _letters(usual)}
    families = [usual]
    for family, path in _others() if lacking else ():
        found = {letter for letter in lacking if ord(letter) in _letters_in(path)}
        if found:
            families.append(family)
            lacking -= found
        if not lacking:
            break
    return families, _numbering(lacking)


def _numbering(lacking: set[str]) -> Callable[[str], str]:
    if not lacking:
        return str
    runs, known = re.compile(f"[{re.escape(''.join(sorted(lacking)))}]+"), dict[str, int]()
    return lambda text: runs.sub(lambda run: f"#{known.setdefault(run[0], len(known) + 1)}", text)


def _manager() -> Any:
    from matplotlib import font_manager

    return font_manager


def _usual() -> str:
    manager = _manager()
    return str(manager.get_font(manager.findfont(manager.FontProperties())).family_name)


def _letters(family: str) -> frozenset[int]:
    return _letters_in(_manager().findfont(family))


def _others() -> list[tuple[str, str]]:
    found = {(str(entry.name), str(entry.fname)) for entry in _manager().fontManager.ttflist}
    return sorted(entry for entry in found if not entry[0].startswith(_BOXES))


@cache
def _letters_in(path: str) -> frozenset[int]:
    return frozenset(_manager().get_font(path).get_charmap())
