"""Feature-space augmentation for PyTorch: MoEx, MixStyle, Mixup and CutMix behind one interface.

Strategies are attributes of this package too: ``featmix.MoEx`` is whatever is registered under that class name.
"""

from __future__ import annotations

import importlib
from typing import Any

from featmix import configuration, schedule
from featmix.configuration import from_dict, load, save, to_dict
from featmix.errors import FeatmixError
from featmix.labels.mixture import Mixture
from featmix.mixer.attach import Mix, Mixer, attach
from featmix.mixer.manifold import manifold_mixup
from featmix.mixer.tree import At, Compose, OneOf, SomeOf
from featmix.normalizers.base import Normalizer
from featmix.normalizers.kinds import list_normalizers, normalizer
from featmix.normalizers.moments import Moments
from featmix.pipeline import Pipeline
from featmix.presets.registry import list_presets, preset
from featmix.strategies.base import Strategy
from featmix.strategies.params import Params
from featmix.strategies.registry import create, list_strategies, register, strategy_class
from featmix.strategies.tags import Tags

__version__ = "0.1.0"

__all__ = [
    "At",
    "Compose",
    "FeatmixError",
    "Mix",
    "Mixer",
    "Mixture",
    "Moments",
    "Normalizer",
    "OneOf",
    "Params",
    "Pipeline",
    "SomeOf",
    "Strategy",
    "Tags",
    "attach",
    "configuration",
    "create",
    "from_dict",
    "list_normalizers",
    "list_presets",
    "list_strategies",
    "load",
    "manifold_mixup",
    "normalizer",
    "preset",
    "register",
    "save",
    "schedule",
    "strategy_class",
    "to_dict",
]


def __getattr__(name: str) -> Any:
    """Strategies by class name, so that a new file in ``strategies/`` needs no line here; ``interop`` at its first use."""
    if name == "interop":
        return importlib.import_module("featmix.interop")
    if not name.startswith("_"):
        for registered in list_strategies():
            if strategy_class(registered).__name__ == name:
                return strategy_class(registered)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "interop", *(strategy_class(name).__name__ for name in list_strategies())])
