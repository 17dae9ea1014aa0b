"""Everything in the registry, in every setting that changes what it does: what the laws are tried on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from featmix.errors import FeatmixError
from featmix.layouts import layouts
from featmix.normalizer import Normalizer
from featmix.normalizers import normalizer, normalizers
from featmix.registry import available, create, strategy_class
from featmix.sampling import PARTNERS
from featmix.sampling_masks import SPECTRA
from featmix.strategies.patchup import MODES
from featmix.strategy import Strategy


def example_normalizers() -> list[str]:
    """One name for each kind of normalizer, with two groups or groups of two.

    Example:
        >>> example_normalizers()
        ['bn', 'gn-d2', 'gn2', 'gpono-d2', 'gpono2', 'in', 'ln', 'pono']
    """
    return [name.replace("<G>", "2").replace("<D>", "2") for name in normalizers()]


def every_normalizer() -> Iterator[Normalizer]:
    """Each kind of normalizer, in each layout and with each option."""
    for name in example_normalizers():
        yield normalizer(name)
        yield normalizer(name, unbiased=False)
        yield normalizer(name, positive_only=True)
        for layout in layouts():
            yield normalizer(name, layout=layout)


def every_default() -> Iterator[Strategy]:
    """Each strategy with its own defaults, always mixing."""
    for name in available():
        yield create(name, p=1.0)


def every_strategy() -> Iterator[Strategy]:
    """Each strategy in each setting that it has: gates, partners, layouts, normalizers, strengths a row."""
    for name in available():
        yield create(name, p=0.5, per="sample")
        defaults = strategy_class(name)().settings()
        for setting, values in choices(defaults).items():
            for value in values:
                if setting in defaults and value != defaults[setting]:
                    made = create(name, p=1.0, **{setting: value})
                    if setting != "layout" or has_use_for(made):
                        yield made


def choices(defaults: dict[str, Any]) -> dict[str, list[Any]]:
    """Values to try for each setting that changes what a strategy does, given its settings as they are by default."""
    return {
        "partner": list(PARTNERS),
        "layout": list(layouts()),
        "norm": [name for name in example_normalizers() if normalizer(name).exchangeable],
        "lam_per": ["batch", "sample"],
        "mode": list(MODES),
        "spectrum": list(SPECTRA),
        **{switch: [not value] for switch, value in defaults.items() if isinstance(value, bool)},
    }


def has_use_for(strategy: Strategy) -> bool:
    """Whether the strategy can do anything in its own layout: a box needs positions."""
    try:
        strategy.make_params([2] * len(strategy.layout or ""))
    except FeatmixError:
        return False
    return True
