"""Feature-space augmentation for PyTorch: MoEx, MixStyle, Mixup and CutMix behind one interface.

Strategies are attributes of this package too: ``featmix.MoEx`` is whatever is registered under that class name.
"""

from __future__ import annotations

import importlib
from typing import Any

from featmix import schedule
from featmix.attach import Mix, Mixer, attach
from featmix.errors import FeatmixError
from featmix.mixture import Mixture
from featmix.moments import Moments
from featmix.normalizer import Normalizer
from featmix.normalizers import normalizer, normalizers
from featmix.params import Params
from featmix.presets import preset, presets
from featmix.registry import available, create, register, strategy_class
from featmix.strategies.manifold_mixup import manifold_mixup
from featmix.strategy import Strategy
from featmix.tags import Tags
from featmix.tree import At, Compose, OneOf, SomeOf

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
    "SomeOf",
    "Strategy",
    "Tags",
    "attach",
    "available",
    "create",
    "manifold_mixup",
    "normalizer",
    "normalizers",
    "preset",
    "presets",
    "register",
    "schedule",
    "strategy_class",
]


def __getattr__(name: str) -> Any:
    """Strategies by class name, so that a new file in ``strategies/`` needs no line here; ``interop`` at its first use."""
    if name == "interop":
        return importlib.import_module("featmix.interop")
    if not name.startswith("_"):
        for registered in available():
            if strategy_class(registered).__name__ == name:
                return strategy_class(registered)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "interop", *(strategy_class(name).__name__ for name in available())])
