"""Sites of other networks than the small one: by the names of their modules, or of their stages."""

from __future__ import annotations

import re

from torch import nn

import featmix as fm
from featmix.compare.stand_ins import moved, stage_of
from featmix.errors import FeatmixError, nearest
from featmix.mixer.sites import plain
from featmix.mixer.stages import STEM, stages
from featmix.mixer.tree import INPUT, Tree

_STAGE = re.compile(r"(layer|stage|block|stages|blocks|layers)[._]?(\d+)")
_LAYER = re.compile(r"layer(\d+)")
_MOST_TOLD = 12


class Places:
    """Finds the sites of a network.

    Names of modules can be used directly. ``stem``, ``stage1``, ``stage2``, ... are taken from the network's ``feature_info``,
    which timm's networks have; without it, they are the numbered modules at the top (``layer1``, ``layer2``, ...), and the
    module before the first of them. ``layer1`` is another name of ``stage1``, as in the small network.

    Args:
        network: The network.
        subject: Name of the command, for messages.

    Example:
        >>> net = nn.Sequential()
        >>> for name in ("conv", "layer1", "layer2", "fc"):
        ...     net.add_module(name, nn.Identity())
        >>> Places(net).find("stage2"), Places(net).find("stem"), Places(net).find("fc")
        ('layer2', 'conv', 'fc')
    """

    def __init__(self, network: nn.Module, subject: str = "compare") -> None:
        self._subject = subject
        self._modules = [plain(name) for name, _ in network.named_modules(remove_duplicate=False) if name]
        told = {name: module for name, module in stages(network).items() if module in self._modules}
        self._stages = told or _numbered(network)

    def find(self, site: str, *, published: bool = False) -> str:
        """Return the module at a site.

        Args:
            site: Name of the site, as the user wrote it.
            published: Whether it is a site of another network, replaced by this network's stage of the same number.

        Raises:
            FeatmixError: If there is no such module.
        """
        if site == INPUT or plain(site) in self._modules:
            return site
        stage = _LAYER.sub(r"stage\1", site)
        if stage in self._stages:
            return self._stages[stage]
        if published and self._stages:
            number, last = stage_of(site), len(self._stages) - (STEM in self._stages)
            stage = f"stage{min(number, last)}" if number else STEM
            if stage in self._stages:
                return self._stages[stage]
        tops = [name for name in self._modules if "." not in name]
        named = [*self._stages, *tops, INPUT]
        near = nearest(site, [*named, *self._modules])
        told = ", ".join(named[:_MOST_TOLD]) + (", ..." if len(named) > _MOST_TOLD else "")
        fix = near if near.startswith("Did") else f"It has {told}, and what is in these: moex@{tops[0] if tops else INPUT}."
        raise FeatmixError(self._subject, "site", expected="a module or a stage of the network", got=repr(site), fix=fix)

    def placed(self, tree: Tree, *, published: bool = False) -> Tree:
        """Return a tree whose sites are modules of the network.

        Args:
            tree: A tree with sites as users write them.
            published: See :meth:`find`.

        Raises:
            FeatmixError: If there is no such site.
        """
        return moved(tree, lambda site: self.find(site, published=published))

    def told(self, tree: Tree, *, published: bool = False) -> dict[str, str]:
        """Return the modules for sites that have another name than their module."""
        found = {leaf.site: self.find(leaf.site, published=published) for leaf in tree.leaves()}
        return {site: module for site, module in found.items() if module != site}


def placed(pipeline: fm.Pipeline, places: Places, *, published: bool = False) -> fm.Pipeline:
    """Return a pipeline whose sites are modules of a network.

    Args:
        pipeline: A pipeline with sites as users write them.
        places: Sites of the network.
        published: See :meth:`Places.find`.

    Raises:
        FeatmixError: If there is no such site.
    """
    if pipeline.tree is None:
        return pipeline
    return pipeline.replace(mix=places.placed(pipeline.tree, published=published))


def _numbered(network: nn.Module) -> dict[str, str]:
    """Return modules at the top, or in a container there, whose names are numbered like stages."""
    children = [name for name, _ in network.named_children()]
    found = {name: int(match[2]) for name in children if (match := _STAGE.fullmatch(name))}
    for name, child in network.named_children():
        if not found and isinstance(child, nn.Sequential | nn.ModuleList) and name in ("stages", "layers", "blocks"):
            found = {f"{name}.{number}": number for number in range(len(child))}
    named = sorted(found, key=lambda name: found[name])
    if not named:
        return {}
    first = named[0].partition(".")[0]
    before = children.index(first)
    stem = {STEM: children[before - 1]} if before else {}
    return {**stem, **{f"stage{number}": name for number, name in enumerate(named, start=1)}}
