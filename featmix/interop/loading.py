"""Importing another package when it is needed, with an error that says what to install."""

from __future__ import annotations

import importlib
from typing import Any

from featmix.errors import FeatmixError


def loaded(module: str, *, subject: str, install: str) -> Any:
    """Import a module of another package.

    Args:
        module: Its full name.
        subject: Who asks for it.
        install: What to install, as pip takes it.

    Raises:
        FeatmixError: If the package is not there, or is there and cannot be loaded.

    Example:
        >>> loaded("nowhere.at_all", subject="from_nowhere", install="nowhere>=1")
        Traceback (most recent call last):
        featmix.errors.FeatmixError: from_nowhere: nowhere: expected an installed package, got ModuleNotFoundError: ...
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise FeatmixError(
            subject,
            package,
            expected="an installed package",
            got=f"{type(error).__name__}: {error}",
            fix=f'Install it: pip install "{install}".',
        ) from error
    except Exception as error:  # binary parts that were built for another torch raise whatever they like
        raise FeatmixError(
            subject,
            package,
            expected="a package that can be loaded",
            got=f"{type(error).__name__}: {error}",
            fix=f'It is installed, and does not fit what is installed beside it: pip install "{install}" in the build that '
            "belongs to this torch.",
        ) from error
