"""Presets on the small network: each of their sites is replaced by the corresponding stage."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from featmix.compare.network import HIDDEN_SITES
from featmix.mixer.tree import INPUT, At, Compose, OneOf, SomeOf, Tree

_BEFORE_STAGES = re.compile(r"(stem|conv1|bn1|relu|maxpool|pool0?|conv0|norm0|patch_embed)$")
_STAGE = re.compile(r"(layer|stage|block|blocks|dense|denseblock|trans|transition|sa|conv)s?[._]?(\d+)")
_FROM_0, _FROM_2 = ("blocks", "stages"), ("conv",)  # how networks number their stages, where it is not from 1


def stand_in(site: str) -> str:
    """Return the site of the small network for one of another network: the stem, or the stage of the same number.

    Args:
        site: A module of one of the networks of the presets, such as a ResNet, a DenseNet or an OSNet.

    Example:
        >>> [stand_in(site) for site in ("input", "maxpool", "layer1.0.conv2", "blocks.0", "conv3", "layer4")]
        ['input', 'stem', 'layer1', 'layer1', 'layer2', 'layer3']
    """
    if site == INPUT or site in HIDDEN_SITES:
        return site
    return HIDDEN_SITES[min(stage_of(site), len(HIDDEN_SITES) - 1)]


def stage_of(site: str) -> int:
    """Return the number of the stage that contains a module of one of the presets' networks, 0 for the stem.

    Args:
        site: Name of the module.

    Example:
        >>> [stage_of(site) for site in ("maxpool", "layer1.0.conv2", "blocks.0", "conv3", "layer4")]
        [0, 1, 1, 2, 4]
    """
    first, *rest = site.removeprefix("features.").split(".")
    found = _STAGE.fullmatch(f"{first}.{rest[0]}" if first in _FROM_0 and rest else first)
    if found is None or (not rest and _BEFORE_STAGES.match(first)):
        return 0
    kind, number = found[1], int(found[2])
    return max(number + (first in _FROM_0) - (kind in _FROM_2), 0)


def told(tree: Tree) -> str:
    """Return as text which sites of a tree are replaced by sites of the small network; empty if none are.

    Example:
        >>> import featmix as fm
        >>> told(fm.Compose([fm.At(site, fm.MixStyle()) for site in ("maxpool", "layer1.0", "layer1.1", "layer2")]))
        'stem for maxpool, layer1 for layer1.0 and 1 more'
    """
    stood: dict[str, list[str]] = {}
    for leaf in tree.leaves():
        there = stood.setdefault(stand_in(leaf.site), [])
        if leaf.site not in (stand_in(leaf.site), *there):
            there.append(leaf.site)
    named = {ours: theirs for ours, theirs in stood.items() if theirs}
    more = {ours: f" and {len(theirs) - 1} more" if theirs[1:] else "" for ours, theirs in named.items()}
    return ", ".join(f"{ours} for {theirs[0]}{more[ours]}" for ours, theirs in named.items())


def on_small_network(tree: Tree) -> Tree:
    """Return a tree with sites of the small network; of equal strategies at one site, only the first is kept.

    Args:
        tree: A tree with sites of any network.

    Example:
        >>> from featmix.presets.registry import preset
        >>> on_small_network(preset("moex/imagenet-resnet50"))
        At('stem', MoEx(norm='pono', lam=0.9, p=1.0))
    """
    return moved(tree, stand_in)


def moved(tree: Tree, place: Callable[[str], str]) -> Tree:
    """Return a tree with other sites; of equal strategies at one site, only the first is kept.

    Args:
        tree: A tree with any sites.
        place: Returns the new site for an old one.
    """
    if isinstance(tree, At):
        return replace(tree, site=place(tree.site))
    standing: dict[str, tuple[Tree, float]] = {}
    weights = tree.weights if isinstance(tree, OneOf) else [1.0] * len(tree.members)
    for member, weight in zip((moved(member, place) for member in tree.members), weights, strict=True):
        first, before = standing.get(repr(member), (member, 0.0))
        standing[repr(member)] = (first, before + weight)
    members = [member for member, _ in standing.values()]
    if isinstance(tree, OneOf):
        return OneOf(members, weights=[weight for _, weight in standing.values()])
    if isinstance(tree, SomeOf):
        return SomeOf(members, count=min(tree.count, len(members)), p=tree.p)
    return Compose(members, share_partner=tree.share_partner)
