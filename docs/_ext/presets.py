"""The presets page: for each method a table of its presets."""

from itertools import groupby

from readme_table import markdown_table

import featmix as fm
from featmix.presets.registry import known_presets

HEADER = ["preset", "what", "in featmix", "figures from"]


def pages() -> dict[str, str]:
    parts = []
    for method, found in groupby(known_presets().values(), key=lambda one: one.name.partition("/")[0]):
        rows = [[f"`{one.name}`", one.description, f"`{fm.preset(one.name)!r}`", _linked(one.source)] for one in found]
        parts.append(f"### {method}\n\n{markdown_table(HEADER, rows)}")
    return {"parts/presets.md": "\n".join(parts)}


def _linked(source: str) -> str:
    """A source that begins with an address, as a link."""
    address, comma, rest = source.partition(", ")
    if not address.startswith("https://"):
        return source
    return f"[{address.removeprefix('https://').removeprefix('github.com/')}]({address}){comma}{rest}"
