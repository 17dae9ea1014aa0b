"""Versions in a configuration: recorded when it is written, and compared when it is read."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

from featmix.configuration.place import Place, shown
from featmix.configuration.plain import Plain, as_dict, as_text
from featmix.configuration.values import check_names

_ALWAYS = ("featmix", "torch")
_NAMED_BY = ("class", "function", "enum")  # tags whose value begins with a package's name


def current_versions(document: dict[str, Plain]) -> dict[str, Plain]:
    """Return the installed versions of the packages that a configuration uses, without build names after a ``+``.

    Example:
        >>> sorted(current_versions({"sample": {"albumentations": {}}}).keys() - {"albumentations"})
        ['featmix', 'torch']
    """
    used = [*_ALWAYS, *sorted(_packages(document) - set(_ALWAYS))]
    found = {package: _installed(package) for package in used}
    return {package: number for package, number in found.items() if number is not None}


def mismatches(written: Plain, document: dict[str, Plain], place: Place) -> list[str]:
    """Return a phrase for each version in a configuration that differs from the installed one.

    Raises:
        FeatmixError: If they are no versions, or of packages that the configuration does not use.
    """
    given = as_dict(written, place, "versions by package")
    check_names(given, [*_ALWAYS, *_packages(document)], place, "a package that this configuration uses")
    differing = []
    for package, number in given.items():
        then, now = as_text(number, place.key(package), "a version, as text"), _installed(package)
        if then != now:
            differing.append(f"{package} {shown(then)[1:-1]} there and {now or 'none'} here")
    return differing


def _packages(value: Plain) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(_packages, value))
    if not isinstance(value, dict):
        return set()
    named = {str(item).partition(".")[0] for tag, item in value.items() if tag in _NAMED_BY and isinstance(item, str)}
    return named.union({"albumentations"} & set(value), *map(_packages, value.values()))


@lru_cache(maxsize=64)
def _installed(package: str) -> str | None:
    try:
        return version(package).partition("+")[0]
    except (PackageNotFoundError, ValueError):
        return None
