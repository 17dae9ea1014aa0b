"""Importing another package when it is needed, with an error that says what to install."""

from __future__ import annotations

import importlib
import re
from importlib import metadata
from typing import Any

from featmix.errors import FeatmixError


def imported(module: str, *, subject: str, install: str, argument: str = "") -> Any:
    """Import a module of another package.

    Args:
        module: Its full name.
        subject: Who asks for it, for the message.
        install: What to install, as pip takes it; or ``featmix[extra]``, for the packages of that extra.
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
        expected, fix = f"{package} to be installed", f"Install it: {pip_install(install)}."
        raise FeatmixError(subject, argument, expected=expected, got=f"{type(error).__name__}: {error}", fix=fix) from error
    except Exception as error:  # binary parts that were built for another torch raise whatever they like
        fix = f"Reinstall it, in the build that belongs to this torch: {pip_install(install)}."
        got = f"{type(error).__name__}: {error}"
        raise FeatmixError(subject, argument, expected=f"{package} to be loadable", got=got, fix=fix) from error


def pip_install(what: str) -> str:
    """Return the command that installs something. An extra is spelt out: pip finds its packages wherever featmix came from.

    Args:
        what: As pip takes it, or ``featmix[extra]``.

    Example:
        >>> pip_install("kornia>=0.9")
        'pip install "kornia>=0.9"'
        >>> pip_install("featmix[testing]").startswith('pip install "hypothesis')
        True
    """
    extra = _EXTRA.fullmatch(what)
    packages = _packages(extra[1]) if extra else []
    if not packages:
        return f'pip install "{what}"' if extra is None else f'pip install ".[{extra[1]}]" in a clone, which is {what}'
    return f"pip install {' '.join(map(_quoted, packages))}" + (f", which is {what}" if extra else "")


_EXTRA = re.compile(r"featmix\[(\w+)\]")


def _packages(extra: str) -> list[str]:
    """Return what an extra of featmix asks for, as the installed version says; nothing where none is installed."""
    try:
        asked = metadata.requires("featmix") or []
    except metadata.PackageNotFoundError:
        return []
    split = [(name.strip(), marker.replace('"', "'")) for name, _, marker in (line.partition(";") for line in asked)]
    return [name for name, marker in split if f"extra == '{extra}'" in marker]


def _quoted(package: str) -> str:
    return f'"{package}"'
