"""Strategies as they are written on the command line: ``moex``, ``moex:norm=in,lam=0.9``, ``mixup@layer2:alpha=2``."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import featmix as fm
from featmix.compare.network import HIDDEN_SITES, SEPARATOR, check_site, sites_of
from featmix.errors import FeatmixError, nearest

BASELINE = "none"
DEFAULT_STRATEGIES = (BASELINE, "moex", "mixstyle", "mixup", "cutmix")

_COMMA = re.compile(r",(?![^(\[]*[)\]])")  # between settings, not inside a pair: scope=(0.1,0.8)


@dataclass(frozen=True)
class Spec:
    """A strategy, its settings and its site.

    Args:
        name: The strategy's name in the registry, or ``none`` for training without augmentation.
        settings: Those that differ from the library's defaults, sorted and written as on the command line.
        site: Where it acts; several sites with bars between them take turns by chance; empty for ``none``.
    """

    name: str
    settings: str = ""
    site: str = ""
    values: tuple[tuple[str, object], ...] = field(default=(), compare=False)

    @property
    def label(self) -> str:
        """How tables and figures call it; the site is given only where it is not the strategy's usual one.

        Example:
            >>> parse("moex:lam=0.9,norm=in").label, parse("mixup@layer2").label
            ('moex:lam=0.9,norm=in', 'mixup@layer2')
        """
        return label_of(self.name, self.settings, self.site)

    def strategy(self) -> fm.Strategy:
        """A new instance with these settings."""
        return fm.create(self.name, **dict(self.values))

    def pipeline(self) -> fm.Pipeline:
        """What happens to images and features: the strategy at its site, or nothing."""
        return fm.Pipeline(mix=None if self.name == BASELINE else tree_of(self.site, self.strategy()))


def parse(text: str, site: str | None = None) -> Spec:
    """Read one strategy and check it by constructing it.

    Args:
        text: ``name[@site][:setting=value,...]``, where the site may be several: ``input|layer1``, one of them each step.
            Values are Python literals; what is none counts as text.
        site: Where strategies act that name no site; None puts each where it usually stands.

    Raises:
        FeatmixError: for an unknown strategy, site or setting, and for a value the strategy refuses.

    Example:
        >>> parse("moex:norm=in,lam=0.5")
        Spec(name='moex', settings='lam=0.5,norm=in', site='stem', values=(('lam', 0.5), ('norm', 'in')))
    """
    place, _, written = text.strip().partition(":")
    name, at, own_site = (part.strip() for part in place.partition("@"))
    name = name.lower()
    if name == BASELINE:
        if at or written:
            raise FeatmixError("compare", "strategies", expected=f"{BASELINE!r} alone", got=repr(text))
        return Spec(BASELINE)
    if name not in fm.list_strategies():
        fix = nearest(name, [BASELINE, *fm.list_strategies()])
        raise FeatmixError("compare", "strategies", expected="a strategy", got=repr(name), fix=fix)
    values = _read_settings(text, written)
    chosen = check_site(own_site if at else site if site is not None else usual_site(name))
    spec = Spec(name, ",".join(f"{key}={_write(value)}" for key, value in values), chosen, values)
    spec.strategy()
    return spec


def parse_all(texts: Sequence[str], site: str | None = None) -> list[Spec]:
    """Read several strategies; the baseline is put first if it was not named.

    Raises:
        FeatmixError: as `parse`, and where one is named twice.

    Example:
        >>> [spec.label for spec in parse_all(["mixup", "moex@layer1"])]
        ['none', 'mixup', 'moex@layer1']
    """
    specs = [parse(text, site) for text in texts]
    twice = [spec.label for number, spec in enumerate(specs) if spec in specs[:number]]
    if twice:
        raise FeatmixError("compare", "strategies", expected="each strategy once", got=f"{twice[0]!r} again")
    return specs if Spec(BASELINE) in specs else [Spec(BASELINE), *specs]


def usual_site(name: str) -> str:
    """Where a strategy stands if nobody says otherwise: the input, the first hidden site, or one of the first three.

    Example:
        >>> usual_site("mixup"), usual_site("moex"), usual_site("manifold-mixup")
        ('input', 'stem', 'input|stem|layer1')
    """
    usual = {"hidden": HIDDEN_SITES[0], "one of several": SEPARATOR.join(("input", *HIDDEN_SITES[:2]))}
    return usual.get(fm.strategy_class(name).tags.default_site, "input")


def tree_of(site: str, strategy: fm.Strategy) -> fm.At | fm.OneOf:
    """A strategy at its site; where that is several with bars between them, at one of them each step."""
    sites = sites_of(site)
    return fm.At(site, strategy) if len(sites) == 1 else fm.OneOf.over(strategy, sites)


def label_of(name: str, settings: str, site: str) -> str:
    """The label of a strategy, from what is written in a row of ``runs.csv``; it can be read again by `parse`."""
    unusual = site and (name not in fm.list_strategies() or site != usual_site(name))
    return name + (f"@{site}" if unusual else "") + (f":{settings}" if settings else "")


def _read_settings(text: str, written: str) -> tuple[tuple[str, object], ...]:
    values: dict[str, object] = {}
    for part in filter(None, (part.strip() for part in _COMMA.split(written))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key.isidentifier() or not value:
            got = f"{part!r} in {text!r}"
            raise FeatmixError("compare", "strategies", expected="settings as name=value, with commas between", got=got)
        if key in values:
            raise FeatmixError("compare", "strategies", expected="each setting once", got=f"{key!r} again in {text!r}")
        values[key] = _read_value(value)
    return tuple(sorted(values.items()))


def _read_value(text: str) -> object:
    constants = {"true": True, "false": False, "none": None}
    if text.lower() in constants:
        return constants[text.lower()]
    try:
        value: object = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value


def _write(value: object) -> str:
    return value if isinstance(value, str) else repr(value)
