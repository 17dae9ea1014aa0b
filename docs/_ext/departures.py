"""Where strategies depart from published code: what their cards say of it, strategy by strategy."""

import inspect

import featmix as fm

HEADING = "*Where it departs from published code.*"


def pages() -> dict[str, str]:
    lines = [f"- {{ref}}`{name} <strategy-{name}>`. {departure(name)}" for name in fm.list_strategies()]
    return {"parts/departures.md": "\n".join([*lines, ""])}


def departure(name: str) -> str:
    """The paragraph of a strategy's docstring, on one line."""
    text = inspect.getdoc(fm.strategy_class(name))
    found = [part for part in text.split("\n\n") if part.startswith(HEADING)]
    if len(found) != 1:
        raise ValueError(f"the docstring of {name} has to say once, in a paragraph, {HEADING}")
    return " ".join(found[0].removeprefix(HEADING).split())
