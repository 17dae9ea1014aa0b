"""Strategies in words, as the commands take them: ``moex``, ``moex:norm=in,lam=0.9``, ``mixup@layer2:alpha=2``."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field

from featmix.errors import FeatmixError, nearest
from featmix.mixer.tree import At, OneOf
from featmix.strategies.base import Strategy
from featmix.strategies.registry import create, list_strategies

SEPARATOR = "|"  # between sites of which each step takes one

_COMMA = re.compile(r",(?![^(\[]*[)\]])")  # between settings, not inside a pair: scope=(0.1,0.8)
_PLUS = re.compile(r"\+(?=\s*[A-Za-z])")  # between strategies of a combination, not inside a number: 1e+3
_CONSTANTS = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class Spec:
    """A strategy, its settings and its site.

    Args:
        name: The strategy's name in the registry.
        settings: Those that were written, sorted, as they are written on the command line.
        site: Where it acts; several sites with bars between them take turns by chance; empty where none was written.
        values: The settings with their values.
    """

    name: str
    settings: str = ""
    site: str = ""
    values: tuple[tuple[str, object], ...] = field(default=(), compare=False)

    def strategy(self, **usual: object) -> Strategy:
        """Return a new instance with these settings.

        Args:
            usual: Settings that hold where nothing else was written.

        Raises:
            FeatmixError: If the strategy refuses one.
        """
        return create(self.name, **{**usual, **dict(self.values)})

    def tree(self, **usual: object) -> At | OneOf:
        """Return the strategy at its site; see :func:`at_site`.

        Args:
            usual: See :meth:`strategy`.

        Raises:
            FeatmixError: If the strategy refuses a setting, or there is no site.
        """
        return at_site(self.site, self.strategy(**usual))


def parse(text: str, *, subject: str, argument: str = "strategy") -> Spec:
    """Read a strategy, and check it by making it.

    Args:
        text: ``name[@site][:setting=value,...]``, where the site may be several: ``input|layer1``, one of them each step.
            Values are Python literals; all others count as text.
        subject: The command or function that was given it, for messages.
        argument: Its argument, for messages.

    Raises:
        FeatmixError: If there is no such strategy or setting, the text is none, or the strategy refuses a value.

    Example:
        >>> parse("moex@input|stem:norm=in,lam=0.50", subject="compare")
        Spec(name='moex', settings='lam=0.5,norm=in', site='input|stem', values=(('lam', 0.5), ('norm', 'in')))
    """
    place, _, written = text.strip().partition(":")
    name, at, site = (part.strip() for part in place.partition("@"))
    if name.lower() not in list_strategies():
        fix = nearest(name.lower(), list_strategies())
        raise FeatmixError(subject, argument, expected="a strategy", got=repr(name), fix=fix)
    if at and not site:
        raise FeatmixError(subject, "site", expected="the name of a site after '@'", got=repr(text))
    values = _settings(written, text, subject, argument)
    spec = Spec(name.lower(), ",".join(f"{key}={_written(value)}" for key, value in values), site, values)
    spec.strategy()
    return spec


def parts_of(text: str) -> list[str]:
    """Return the strategies of a combination, with ``+`` between them; a strategy by itself is the only one.

    Example:
        >>> parts_of("cutmix+moex@layer1:lam=0.9,eps=1e+3"), parts_of("moex")
        (['cutmix', 'moex@layer1:lam=0.9,eps=1e+3'], ['moex'])
    """
    return [part.strip() for part in _PLUS.split(text)]


def settings_of(written: str) -> list[str]:
    """Return what stands between the commas of settings.

    Example:
        >>> settings_of("scope=(0.1,0.8), p=0.5")
        ['scope=(0.1,0.8)', 'p=0.5']
    """
    return [part.strip() for part in _COMMA.split(written) if part.strip()]


def sites_of(site: str) -> list[str]:
    """Return the sites that a place stands for: one, or several with bars between them, of which each step takes one.

    Example:
        >>> sites_of("stem"), sites_of("input|stem")
        (['stem'], ['input', 'stem'])
    """
    return site.split(SEPARATOR)


def at_site(site: str, strategy: Strategy) -> At | OneOf:
    """Return a strategy at its site; where that is several with bars between them, at one of them each step."""
    sites = sites_of(site)
    return At(site, strategy) if len(sites) == 1 else OneOf.over(strategy, sites)


def _settings(written: str, text: str, subject: str, argument: str) -> tuple[tuple[str, object], ...]:
    values: dict[str, object] = {}
    for part in settings_of(written):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key.isidentifier() or not value:
            got = f"{part!r} in {text!r}"
            raise FeatmixError(subject, argument, expected="settings as name=value, with commas between", got=got)
        if key in values:
            raise FeatmixError(subject, argument, expected="each setting once", got=f"{key!r} again in {text!r}")
        values[key] = _value(value)
    return tuple(sorted(values.items()))


def _value(text: str) -> object:
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    try:
        value: object = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value


def _written(value: object) -> str:
    return value if isinstance(value, str) else repr(value)
