"""Sweeps as text: one strategy with several values of its settings or several sites, each compared separately."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from featmix.compare.contenders import contender
from featmix.errors import FeatmixError
from featmix.spec import parts_of, settings_of

SITE = "site"

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_FROM_TO = re.compile(rf"({_NUMBER})\.\.({_NUMBER})/(\d+)")
_STAGE = re.compile(r"stage(\d+)")
_MOST = 1000


@dataclass(frozen=True)
class Sweep:
    """A strategy with several values.

    Args:
        text: The sweep as the user wrote it.
        axes: Names of the settings that vary, and ``site``.
        points: For each combination, the values on the axes, and the label of the strategy with these values.
    """

    text: str
    axes: tuple[str, ...]
    points: tuple[tuple[tuple[str, ...], str], ...]


def expanded(texts: Sequence[str], site: str | None = None, *, any_site: bool = False) -> tuple[list[str], list[Sweep]]:
    """Return strategies as text, with each sweep replaced by its strategies, and the sweeps.

    ``lam=0.5..0.9/5`` is five values, evenly from the first to the last; ``norm=pono|in`` is two; ``moex@stem,layer1`` is two
    sites, as is ``site="stem,layer1"`` for strategies that name none. ``stage1`` is another name of ``layer1``.

    Args:
        texts: As `featmix.compare.contenders.contenders` takes them.
        site: Site of strategies that name none.
        any_site: Whether sites are those of another network than the small one, in which ``stage1`` is not ``layer1``.

    Raises:
        FeatmixError: If a range is invalid, or there would be more than a thousand strategies.

    Example:
        >>> expanded(["moex:lam=0.5..0.9/3", "mixup"])[0]
        ['moex:lam=0.5', 'moex:lam=0.7', 'moex:lam=0.9', 'mixup']
        >>> [sweep.axes for sweep in expanded(["moex@stem,stage2:norm=pono|in"])[1]]
        [('site', 'norm')]
    """
    found: list[str] = []
    sweeps: list[Sweep] = []
    for text in texts:
        one = _sweep(text, site, any_site) if isinstance(text, str) and len(parts_of(text)) == 1 else None
        if one is None:
            found.append(text)
        else:
            sweeps.append(one)
            found += [label for _, label in one.points]
    if len(found) > _MOST:
        raise FeatmixError("compare", "strategy", expected=f"at most {_MOST} strategies", got=len(found))
    return list(dict.fromkeys(found)) if sweeps else found, sweeps


def _sweep(text: str, site: str | None, any_site: bool) -> Sweep | None:
    place, colon, written = text.partition(":")
    name, at, own_site = (part.strip() for part in place.partition("@"))
    where = own_site if at else site or ""
    sites = [part.strip() if any_site else _STAGE.sub(r"layer\1", part.strip()) for part in where.split(",")]
    settings = [setting.partition("=") for setting in settings_of(written)]
    choices = [(key.strip(), _values(value.strip(), text)) for key, _, value in settings]
    varying = [(SITE, sites)] if len(sites) > 1 else []
    varying += [(key, values) for key, values in choices if len(values) > 1]
    if not varying:
        return None
    if prod(len(values) for _, values in varying) > _MOST:
        raise FeatmixError("compare", "strategy", expected=f"at most {_MOST} strategies", got=repr(text))
    points = []
    for combination in product(*(values for _, values in varying)):
        given = dict(zip([key for key, _ in varying], combination, strict=True))
        here = given.get(SITE, sites[0])
        chosen = ",".join(f"{key}={given.get(key, values[0])}" for key, values in choices)
        one = f"{name}@{here}" if here else name
        points.append((combination, contender(one + (f":{chosen}" if colon else ""), any_site=any_site).label))
    return Sweep(text, tuple(key for key, _ in varying), tuple(points))


def _values(text: str, whole: str) -> list[str]:
    """Return the values of a setting in a sweep; only one if it is no sweep."""
    if ".." in text:
        found = _FROM_TO.fullmatch(text)
        if found is None or not 2 <= int(found[3]) <= _MOST:
            expected = "a range as FIRST..LAST/COUNT, with at least two values"
            raise FeatmixError("compare", "strategy", expected=expected, got=f"{text!r} in {whole!r}", fix="lam=0.5..0.95/9.")
        return [f"{value:.6g}" for value in np.linspace(float(found[1]), float(found[2]), int(found[3]))]
    return [part.strip() for part in text.split("|")]
