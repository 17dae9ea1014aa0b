"""Everything in the registry, in every setting that changes what it does: what the laws are tried on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from featmix.errors import FeatmixError
from featmix.layouts import layouts
from featmix.normalizers.base import Normalizer
from featmix.normalizers.kinds import list_normalizers, normalizer
from featmix.strategies.base import Strategy
from featmix.strategies.registry import create, list_strategies, strategy_class


def example_normalizers(layout: str | None = None) -> list[str]:
    """One name for each kind of normalizer, with two groups or groups of two, over some axes.

    Args:
        layout: Whose axes are averaged over; images where not given.

    Example:
        >>> example_normalizers()
        ['bn', 'gn-d2', 'gn2', 'gpono-d2', 'gpono2', 'in', 'ln', 'over:cw', 'over:h', 'pono']
    """
    positions = [letter for letter in layout or "bchw" if letter not in "bc"]
    axes = [f"c{positions[-1]}", positions[0]] if positions else ["c"]
    names = []
    for name in list_normalizers():
        names += [name.replace("<axes>", letters) for letters in axes] if "<axes>" in name else [name]
    return [name.replace("<G>", "2").replace("<D>", "2") for name in names]


def every_normalizer() -> Iterator[Normalizer]:
    """Each kind of normalizer, in each layout and with each option."""
    for name in example_normalizers():
        yield normalizer(name)
        yield normalizer(name, unbiased=False)
        yield normalizer(name, positive_only=True)
    for layout in layouts():
        for name in example_normalizers(layout):
            yield normalizer(name, layout=layout)


def every_default() -> Iterator[Strategy]:
    """Each strategy with its own defaults, always mixing."""
    for name in list_strategies():
        yield create(name, p=1.0)


def every_strategy() -> Iterator[Strategy]:
    """Each strategy in each setting that it has: gates, partners, layouts, normalizers, strengths a row."""
    for name in list_strategies():
        yield create(name, p=0.5, per="sample")
        default = strategy_class(name)()
        for setting, values in choices(default).items():
            for value in values:
                if value != default.settings()[setting]:
                    made = _made(name, setting, value)
                    if made is not None:
                        yield made


def choices(default: Strategy) -> dict[str, list[Any]]:
    """Values to try for each setting that changes what a strategy does: words, switches, layouts and normalizers."""
    settings = default.settings()
    found: dict[str, list[Any]] = {name: list(words) for name, words in default.setting_choices().items() if name != "per"}
    found.update({name: [not value] for name, value in settings.items() if isinstance(value, bool)})
    found["layout"] = list(layouts())
    if "norm" in settings:
        found["norm"] = [name for name in example_normalizers() if normalizer(name).exchangeable]
    return found


def _made(name: str, setting: str, value: Any) -> Strategy | None:
    """The strategy with this setting; ``None`` where it has no use for a normalizer or a layout."""
    try:
        made = create(name, p=1.0, **{setting: value})
    except FeatmixError:
        if setting not in ("norm", "layout"):
            raise
        return None
    return made if setting != "layout" or has_use_for(made) else None


def has_use_for(strategy: Strategy) -> bool:
    """Return whether the strategy can do anything in its own layout: a box needs positions."""
    try:
        strategy.make_params([2] * len(strategy.layout or ""))
    except FeatmixError:
        return False
    return True
