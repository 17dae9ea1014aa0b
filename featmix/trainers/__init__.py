"""featmix in the trainers that people use. Each is imported when it is used, not before.

``featmix.trainers.lightning`` and its neighbours are named after what they work in. A package that is missing, or that cannot
be loaded, raises :class:`~featmix.FeatmixError` with what to install.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any


def __getattr__(name: str) -> Any:
    """The modules of this folder, imported at their first use."""
    if name in __dir__():
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))
