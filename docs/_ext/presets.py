"""The presets page: for each method its presets, what each does in the words of code, and where its figures come from."""

from itertools import groupby

import featmix as fm
from featmix.presets.registry import Preset, known_presets


def pages() -> dict[str, str]:
    parts = []
    for method, found in groupby(known_presets().values(), key=lambda one: one.name.partition("/")[0]):
        parts.append(f"### {method}\n\n" + "\n".join(map(_entry, found)))
    return {"parts/presets.md": "\n".join(parts)}


def _entry(one: Preset) -> str:
    """A list entry and no row of a table: trees are long, and would be cut off at the edge of the page."""
    return f"`{one.name}`\n: {one.description}\n\n  `{fm.preset(one.name)!r}`\n\n  Figures from {_linked(one.source)}\n"


def _linked(source: str) -> str:
    """A source that begins with an address, as a link."""
    address, comma, rest = source.partition(", ")
    if not address.startswith("https://"):
        return source
    return f"[{address.removeprefix('https://').removeprefix('github.com/')}]({address}){comma}{rest}"
