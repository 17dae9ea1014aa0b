"""Strategies and normalizers that are right, in the styles in which other people write: no law may refuse one of them."""

import importlib
import pkgutil

from tests.correct.right import Right, rights

__all__ = ["Right", "rights"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
