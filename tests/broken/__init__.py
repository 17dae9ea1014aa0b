"""Planted faults: strategies and normalizers that are wrong in one way each, and the law that has to refuse each of them."""

import importlib
import pkgutil

from tests.broken.fault import Fault, faults, law_named, tried_until_refused

__all__ = ["Fault", "faults", "law_named", "tried_until_refused"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
