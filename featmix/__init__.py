"""Feature-space augmentation for PyTorch: MoEx, MixStyle, Mixup and CutMix behind one interface.

Strategies are attributes of this package too: ``featmix.MoEx`` is whatever is registered under that class name. Editors and
type checkers read them in ``__init__.pyi``, which ``tools/stubs.py`` writes.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from featmix import schedule
from featmix.errors import FeatmixError
from featmix.labels.mixture import Mixture
from featmix.mixer.attach import attach
from featmix.mixer.detach import detach
from featmix.mixer.manifold import manifold_mixup
from featmix.mixer.mix import Mix
from featmix.mixer.mixer import Mixer
from featmix.mixer.tree import At, Compose, OneOf, SomeOf
from featmix.normalizers.base import Normalizer
from featmix.normalizers.kinds import list_normalizers, normalizer
from featmix.normalizers.moments import Moments
from featmix.pipeline import Pipeline
from featmix.presets.registry import list_presets, preset
from featmix.strategies.base import Strategy
from featmix.strategies.params import Draw, Params
from featmix.strategies.registry import create, list_strategies, register, strategy_class
from featmix.strategies.tags import Tags

__version__ = "0.1.0"

__all__ = [
    "At",
    "Compose",
    "Draw",
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
    "detach",
    "from_dict",
    "interop",
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
    "trainers",
]

# Public packages, and functions of one, that are imported at first use. testing is not in __all__, because it needs hypothesis.
_LAZY = ("configuration", "interop", "testing", "trainers")
_OF_CONFIGURATION = ("from_dict", "load", "save", "to_dict")


def __getattr__(name: str) -> Any:
    """Return a strategy by its class name, or what is imported at its first use.

    A new file in ``strategies/`` therefore needs no line here.
    """
    if name in _LAZY:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _OF_CONFIGURATION:
        return getattr(importlib.import_module(f"{__name__}.configuration"), name)
    if not name.startswith("_"):
        for registered in list_strategies():
            if strategy_class(registered).__name__ == name:
                return strategy_class(registered)
        short = name.lower().replace("_", "")
        for registered in list_strategies():
            if registered.replace("-", "") == short:  # Python itself would suggest whatever is spelt alike
                meant = f"The strategy {registered!r} is featmix.{strategy_class(registered).__name__}."
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}. {meant}", name=name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__])


def __dir__() -> list[str]:
    """Return the public names: ``__all__`` and the class names of the registered strategies."""
    return sorted({*__all__, *(strategy_class(name).__name__ for name in list_strategies())})
