"""Literal types in signatures: an alias such as ``Per`` is shown as the words that it stands for."""

import sys
from typing import Any, Literal, get_args, get_origin

from docutils import nodes

import featmix as fm


def setup(app: Any) -> dict[str, bool]:
    app.connect("missing-reference", spell_out)
    return {"parallel_read_safe": True}


def spell_out(app: Any, env: Any, node: nodes.Element, content: nodes.TextElement) -> nodes.Node | None:
    """What stands in place of a reference to an alias; ``None`` leaves other references alone."""
    words = words_of(node.get("reftarget", "").rpartition(".")[2], node.get("py:module"))
    return nodes.emphasis("", " | ".join(repr(word) for word in words)) if words else None


def words_of(alias: str, module: str | None) -> tuple[str, ...]:
    """The words of an alias in a module, or else in any of featmix's; none where there is no such alias."""
    fm.list_strategies()  # imports them all
    modules = [module, *sorted(name for name in sys.modules if name.startswith("featmix."))]
    found = (vars(sys.modules[name]).get(alias) for name in modules if name in sys.modules)
    return next((get_args(each) for each in found if get_origin(each) is Literal), ())
