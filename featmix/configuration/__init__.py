"""Configuration files for pipelines, trees, strategies, normalizers and schedules, in YAML that people can read.

A file is untrusted input. It is read without YAML constructors; it can name strategies of the registry, transforms of
albumentations, kornia and torchvision, and objects that :func:`allow` adds; it cannot import or run anything else.
"""

from __future__ import annotations

import os
from typing import Any

from torch import nn

from featmix.configuration.allowed import allow
from featmix.configuration.document import read_document, write_document
from featmix.configuration.files import read_text, write_text
from featmix.configuration.place import Place
from featmix.configuration.plain import Plain
from featmix.configuration.yaml_text import emit, parse
from featmix.errors import FeatmixError
from featmix.mixer.mixer import Mixer
from featmix.strategies.base import Strategy

__all__ = ["allow", "from_dict", "load", "save", "to_dict"]


def to_dict(thing: Any) -> dict[str, Plain]:
    """Return the content of a file of :func:`save`, as plain dictionaries, lists, text and numbers.

    Args:
        thing: A :class:`~featmix.Pipeline`, a tree or ``{site: strategy}``, a strategy, a normalizer or a schedule.

    Raises:
        FeatmixError: If something in it cannot be written; the error names the entry.

    Example:
        >>> import featmix as fm
        >>> fm.to_dict(fm.MoEx("pono", lam=0.9))["strategy"]["norm"]
        'pono'
    """
    return write_document(thing, Place("to_dict"))


def from_dict(values: dict[str, Any]) -> Any:
    """Make the object from the dictionary that :func:`to_dict` returned.

    Warns:
        UserWarning: If it was written with other versions.

    Raises:
        FeatmixError: If an entry is invalid; ``argument`` is the path of the entry.

    Example:
        >>> import featmix as fm
        >>> fm.from_dict({"tree": {"sites": {"layer1": {"name": "moex", "detach": "no"}}}})
        Traceback (most recent call last):
        featmix.errors.FeatmixError: from_dict: tree.sites.layer1.detach: expected True or False, got 'no'.
    """
    return read_document(values, Place("from_dict"), stacklevel=2)


def save(thing: Any, path: str | os.PathLike[str]) -> None:
    """Write a YAML file that :func:`load` reads. An existing file is replaced in one step, or stays as it is.

    Args:
        thing: See :func:`to_dict`.
        path: Path of the file; its folder must exist.

    Raises:
        FeatmixError: If something in it cannot be written, or the file cannot.
    """
    if not isinstance(path, str | os.PathLike):
        fix = "The order is save(thing, path)."
        raise FeatmixError("save", "path", expected="the path of a file", got=type(path).__name__, fix=fix)
    if isinstance(thing, Mixer):
        fix = "What it attaches: save(mixer.tree, path). Where it is: torch.save(mixer.state_dict(), path)."
        raise FeatmixError("save", "thing", expected="a pipeline, a tree or a strategy", got="a Mixer", fix=fix)
    place = Place(str(path))
    try:
        written = write_document(thing, place)
    except FeatmixError as error:
        if isinstance(thing, nn.Module) and not isinstance(thing, Strategy):
            fix = f"{error.fix} Weights of a model: torch.save(model.state_dict(), path)."
            raise FeatmixError(error.subject, error.argument, expected=error.expected, got=error.got, fix=fix) from None
        raise
    text = emit(written)
    if parse(text, place) != written:
        raise place.refuse("text that YAML gives back as it is", "text that it does not")
    write_text(path, text)


def load(path: str | os.PathLike[str]) -> Any:
    """Make the object from a file that :func:`save` wrote: with the same seed its results are the same, bit for bit.

    Args:
        path: A YAML file; it may come from an untrusted source.

    Warns:
        UserWarning: If it was written with other versions.

    Raises:
        FeatmixError: If an entry is invalid; ``argument`` is the path of the entry, such as
            ``mix.compose[1].strategy.norm``.
    """
    return read_document(parse(read_text(path), Place(str(path))), Place(str(path)), stacklevel=2)
