"""What a model says of the axes of its features: by what a layer is, and by what timm's models say of themselves.

A strategy that names no layout gets the one that is known, and one that names another than is known is refused. The rest is
compared in the dry run of ``example=``: see ``featmix.mixer.witnesses``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from featmix.errors import FeatmixError
from featmix.layouts import ANY_NDIM, layout
from featmix.mixer.sites import plain
from featmix.mixer.stages import STEM, stages
from featmix.strategies.axes import Axes
from featmix.strategies.base import Strategy

SEQUENCE, POINTS, LAST = "bc*", "bcn*", "b*c"  # the channels are the second axis, positions in order or in a list; or the last
_VOLUMES = (nn.Conv3d, nn.ConvTranspose3d, nn.BatchNorm3d, nn.InstanceNorm3d)
_IMAGES = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.InstanceNorm2d)
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.GroupNorm)
_FORMATS = {"NHWC": LAST, "NLC": LAST, "NCL": POINTS}
_TO_ATTENTION = ("norm1", "attn.qkv", "attn.q", "attn.k", "attn.v")  # what the class token of a block still attends to


@dataclass(frozen=True)
class Evidence:
    """What is known of the features at a site before any were seen.

    Args:
        layout: A name of ``ANY_NDIM``; ``None`` where nothing is known.
        source: Who says so.
        certain: Whether a layout that says otherwise is wrong.
        prefix: Tokens at the front that are no positions of the image.
        patches: Positions of features that do not have them.
        reads_prefix: Whether what follows reads these tokens alone.
    """

    layout: str | None = None
    source: str = ""
    certain: bool = False
    prefix: int = 0
    patches: int | None = None
    reads_prefix: bool = False


def evidence_at(root: nn.Module, module: nn.Module) -> Evidence:
    """Return what a model says of what one of its modules returns.

    Args:
        root: The model.
        module: A module of it.

    Example:
        >>> model = nn.Sequential(nn.Conv1d(3, 8, 5), nn.Conv1d(8, 8, 1), nn.ReLU())
        >>> [evidence_at(model, layer).layout for layer in model]
        ['bc*', 'bcn*', None]
    """
    named = dict(root.named_modules())
    site = next((name for name, one in named.items() if one is module), "")
    above = [(name, named[name]) for name in _upwards(site) if name in named]
    found, source, certain = _by_kind(module), type(module).__name__, True
    if found is None:
        found, source, certain = _by_format(above, site)
    prefix, patches, reads_prefix = _prefix_of(above, site)
    return Evidence(found, source, certain, prefix, patches, reads_prefix)


def strategy_for(strategy: Strategy, site: str, found: Evidence) -> Strategy:
    """Return a strategy that knows the axes at a site; itself where nothing is known that it does not say.

    Raises:
        FeatmixError: If it names another layout than is known, or mixes labels where nothing of it would reach the output.
    """
    axes = strategy.axes
    if found.layout is not None and axes.layout is not None:
        _check_layout(strategy, axes.layout, site, found)
    prefix = axes.num_prefix_tokens
    blends = strategy.tags.mixes_labels and not (strategy.tags.moments or strategy.tags.spatial)  # class tokens too, by as much
    if strategy.num_prefix_tokens is None and not blends:
        prefix = found.prefix
    if found.reads_prefix and prefix and strategy.tags.mixes_labels:
        raise FeatmixError(
            type(strategy).__name__,
            site,
            expected="a site before the last attention, or num_prefix_tokens=0",
            got=f"{found.prefix} prefix tokens left alone, of which the model's head reads the class token only",
            fix="Labels would be mixed, and what the head reads would not: attach to an earlier block.",
        )
    known = axes.layout
    if known is None and found.layout in ANY_NDIM:  # others are the usual ones
        known = found.layout
    if known == axes.layout and prefix == axes.num_prefix_tokens:
        return strategy
    own = prefix == axes.num_prefix_tokens
    return strategy.with_axes(Axes(axes.who, known, prefix, found=not own, patches=None if own else found.patches))


def contradiction(who: str, site: str, *, read_as: str, source: str, name: str) -> FeatmixError:
    """Return the error that says how features are laid out, and how they were to be read.

    Args:
        who: The strategy.
        site: The site.
        read_as: The layout that it goes by.
        source: Who says otherwise.
        name: The layout to give.
    """
    return FeatmixError(
        who,
        site,
        expected=f"features as {source} gives them, layout {name!r} or the like",
        got=f"layout {read_as!r}",
        fix=f"Say which axis is what: layout={name!r}.",
    )


def _check_layout(strategy: Strategy, named: str, site: str, found: Evidence) -> None:
    lay, last = layout(named), found.layout == LAST
    if found.certain and lay.channel != (lay.ndim - 1 if last else 1):
        positions = "".join(letter for letter in named[1:] if letter != "c")
        name = f"b{positions}c" if last else f"bc{positions}"
        raise contradiction(type(strategy).__name__, site, read_as=named, source=found.source, name=name)


def _by_kind(module: nn.Module) -> str | None:
    """Return where a layer has its channels, if that is settled by what it is."""
    if isinstance(module, _VOLUMES):
        return "bcdhw"
    if isinstance(module, _IMAGES):
        return "bchw"
    if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
        return POINTS if module.kernel_size == (1,) else SEQUENCE
    if isinstance(module, _NORMS):
        return POINTS  # of points as often as of sequences
    if is_over_last(module) or isinstance(module, nn.Linear | nn.Embedding | nn.RNNBase):
        return LAST
    return None


def is_over_last(module: nn.Module) -> bool:
    """Return whether a module normalizes the last axis; a class derived from these with a forward of its own may not."""
    forwards = (nn.LayerNorm.forward, nn.RMSNorm.forward)
    return (
        isinstance(module, nn.LayerNorm | nn.RMSNorm) and type(module).forward in forwards and len(module.normalized_shape) == 1
    )


def _by_format(above: Sequence[tuple[str, nn.Module]], site: str) -> tuple[str | None, str, bool]:
    """Return what timm's models say of the order of their axes: certain of themselves and of their stages."""
    for name, owner in above:
        said = getattr(owner, "output_fmt", None)
        if said is not None:
            found = _FORMATS.get(str(getattr(said, "value", said)).upper())
            return found, f"output_fmt of {type(owner).__name__}", name == site or _inside(name, site) in stages(owner).values()
    return None, "", False


def _prefix_of(above: Sequence[tuple[str, nn.Module]], site: str) -> tuple[int, int | None, bool]:
    """Return what timm's models say of their class and register tokens."""
    for name, owner in reversed(above):
        count = getattr(owner, "num_prefix_tokens", None)
        if isinstance(count, int) and count > 0:
            patches, inside = getattr(getattr(owner, "patch_embed", None), "num_patches", None), _inside(name, site)
            if not isinstance(patches, int):  # features before the class token cannot be told by their size
                patches = None
                blocks = {stage.split(".")[0] for key, stage in stages(owner).items() if key != STEM}
                count = count if inside.split(".")[0] in (*blocks, "blocks", "stages", "norm") else 0
            alone = getattr(owner, "global_pool", None) == "token" and _is_past_attention(owner, inside)
            return count, patches, alone
    return 0, None, False


def _is_past_attention(owner: nn.Module, site: str) -> bool:
    """Return whether no other token reads what is at a site: it is the last block, in it past attention, or after it."""
    last = ([""] + [name for key, name in stages(owner).items() if key != STEM])[-1]
    if not last:
        return False
    within = _inside(last, site) if site.startswith(f"{last}.") else None
    return site in (last, "norm") or (within is not None and not within.startswith(_TO_ATTENTION))


def _inside(name: str, site: str) -> str:
    """Return a site's name as its owner, which stands at ``name``, knows it."""
    return plain(site.removeprefix(f"{name}.") if name else site)


def _upwards(site: str) -> Iterator[str]:
    """Return the names of a module and of all that it is in, the model's empty one last."""
    while site:
        yield site
        site = site.rpartition(".")[0]
    yield ""
