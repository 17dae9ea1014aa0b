"""The strategies of a comparison, and the baseline."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import featmix as fm
from featmix.compare.escaping import shown_labels
from featmix.compare.network import check_site, usual_site
from featmix.compare.stand_ins import on_small_network
from featmix.errors import FeatmixError, nearest
from featmix.mixer.tree import Tree
from featmix.presets.registry import preset
from featmix.spec import Spec, parse, parts_of

BASELINE = "none"
DEFAULT_STRATEGIES = (BASELINE, "moex", "mixstyle", "mixup", "cutmix")


@dataclass(frozen=True)
class Contender(Spec):
    """A strategy at a site of the small network, or training without augmentation.

    Args:
        name: The strategy's name in the registry, or ``none``.
        settings: The settings as the user wrote them, sorted.
        site: Site of the strategy; empty for ``none``.
        values: The settings with their values.
    """

    @property
    def label(self) -> str:
        """The name in tables and figures, with the site if it is not the usual one of the strategy.

        Example:
            >>> contender("moex:lam=0.9,norm=in").label, contender("mixup@layer2").label
            ('moex:lam=0.9,norm=in', 'mixup@layer2')
        """
        return label_of(self.name, self.settings, self.site)

    @property
    def published(self) -> bool:
        """Whether sites are those of another network, replaced by stages of the trained one."""
        return False

    def pipeline(self) -> fm.Pipeline:
        """Return a pipeline of the strategy at its site, or an empty one."""
        return fm.Pipeline(mix=None if self.name == BASELINE else self.tree())


@dataclass(frozen=True)
class TreeContender(Contender):
    """A preset, with its sites replaced by those of the small network, or several strategies together.

    Args:
        name: The preset's name, or the strategies with ``+`` between them.
        made: The tree.
    """

    made: Tree | None = field(default=None, compare=False)

    @property
    def published(self) -> bool:
        """Whether it is a preset."""
        return self.name in fm.list_presets()

    def pipeline(self) -> fm.Pipeline:
        """Return a new pipeline with the tree."""
        return fm.Pipeline(mix=copy.deepcopy(self.made))


def contender(text: str, site: str | None = None, *, any_site: bool = False) -> Contender:
    """Read one strategy, several that act together, a preset, or the baseline.

    Args:
        text: See :func:`featmix.spec.parse`; several with ``+`` between them; the name of a preset; or ``none``.
        site: Site of strategies that name none; None uses the usual site of each.
        any_site: Whether sites are those of another network than the small one.

    Raises:
        FeatmixError: for an unknown strategy, site or setting, and for a value the strategy refuses.

    Example:
        >>> contender("moex:norm=in").site, contender("cutmix+moex").label, contender("MoEx/ImageNet-ResNet50").label
        ('stem', 'cutmix+moex', 'moex/imagenet-resnet50')
    """
    if not isinstance(text, str):
        fix = "Write its settings behind its name: 'moex:norm=in,lam=0.9'."
        raise FeatmixError("compare", "strategy", expected="the name of a strategy", got=type(text).__name__, fix=fix)
    if re.split("[@:]", text)[0].strip().lower() == BASELINE:
        if text.strip().lower() != BASELINE:
            raise FeatmixError("compare", "strategy", expected=f"{BASELINE!r} alone", got=repr(text))
        return Contender(BASELINE)
    if text.strip().lower() in fm.list_presets():
        name = text.strip().lower()
        return TreeContender(name, made=preset(name) if any_site else on_small_network(preset(name)))
    texts = parts_of(text)
    if len(texts) > 1:
        parts = [contender(part, site, any_site=any_site) for part in texts]
        return TreeContender("+".join(part.label for part in parts), made=fm.Compose([part.tree() for part in parts]))
    spec = parse(text, subject="compare")
    chosen = spec.site or (usual_site(spec.name) if site is None else site)
    check_site(chosen, "compare", any_site=any_site)
    return Contender(spec.name, spec.settings, chosen, spec.values)


def contenders(texts: Sequence[str], site: str | None = None, *, any_site: bool = False) -> list[Contender]:
    """Read several strategies; the baseline is put first if it was not named.

    Raises:
        FeatmixError: as `contender`, and if a strategy is named twice.

    Example:
        >>> [one.label for one in contenders(["mixup", "moex@layer1"])]
        ['none', 'mixup', 'moex@layer1']
    """
    found = [contender(text, site, any_site=any_site) for text in texts]
    twice = [one.label for number, one in enumerate(found) if one in found[:number]]
    if twice:
        raise FeatmixError("compare", "strategy", expected="each strategy once", got=f"{twice[0]!r} again")
    return found if Contender(BASELINE) in found else [Contender(BASELINE), *found]


def chosen_baseline(text: str, found: Sequence[Contender]) -> str:
    """Return the label of the baseline, the strategy with which all others are compared.

    Args:
        text: The strategy, as in tables or as the user wrote it.
        found: All strategies of the comparison.

    Raises:
        FeatmixError: If it is not one of them.

    Example:
        >>> chosen_baseline("none", contenders(["mixup"]))
        'none'
    """
    labels = [one.label for one in found]
    shown = {short: label for label, short in shown_labels(labels).items()}
    if text in shown:
        return shown[text]
    if text not in labels:
        with_its_usual_site = [one.label for one in found if text == f"{one.name}@{one.site}"]
        if not with_its_usual_site:
            expected = f"one of what is compared: {', '.join(shown)}"
            raise FeatmixError("compare", "baseline", expected=expected, got=repr(text), fix=nearest(text, shown))
        return with_its_usual_site[0]
    return text


def label_of(name: str, settings: str, site: str) -> str:
    """Return the label of a row of ``runs.csv``, in the form that `contender` reads."""
    unusual = site and (name not in fm.list_strategies() or site != usual_site(name))
    return name + (f"@{site}" if unusual else "") + (f":{settings}" if settings else "")
