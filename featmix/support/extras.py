"""Importing another package when it is needed, with an error that says what to install."""

from __future__ import annotations

import importlib
from typing import Any

from featmix.errors import FeatmixError


def imported(module: str, *, subject: str, install: str, argument: str = "") -> Any:
    """Import a module of another package.

    Args:
        module: Its full name.
        subject: Who asks for it, for the message.
        install: What to install, as pip takes it.
        argument: What makes it necessary, for the message.

    Raises:
        FeatmixError: If the package is not there, or is there and cannot be loaded.

    Example:
        >>> imported("nowhere.at_all", subject="from_nowhere", install="nowhere>=1")
        Traceback (most recent call last):
        featmix.errors.FeatmixError: from_nowhere: expected nowhere to be installed, got ModuleNotFoundError: ...
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        expected, fix = f"{package} to be installed", f'Install it: pip install "{install}".'
        raise FeatmixError(subject, argument, expected=expected, got=f"{type(error).__name__}: {error}", fix=fix) from error
    except Exception as error:  # binary parts that were built for another torch raise whatever they like
        fix = f'Reinstall it with pip install "{install}", in the build that belongs to this torch.'
        got = f"{type(error).__name__}: {error}"
        raise FeatmixError(subject, argument, expected=f"{package} to be loadable", got=got, fix=fix) from error
