"""Finding a module by the name that its author gave it, whatever it has been wrapped in since."""

from __future__ import annotations

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from featmix.errors import FeatmixError, nearest
from featmix.mixer.stages import stages
from featmix.mixer.tree import INPUT

_WRAPPED_AS = ("_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module", "_forward_module")


def unwrap(model: nn.Module) -> nn.Module:
    """Return the module inside ``torch.compile``, data parallelism, activation checkpointing and FSDP."""
    if isinstance(model, DistributedDataParallel | DataParallel):
        return unwrap(model.module)
    for name in _WRAPPED_AS:
        inner = model._modules.get(name)
        if inner is not None:
            return unwrap(inner)
    return model


def find(root: nn.Module, site: str) -> nn.Module:
    """Return the module at a site; of a wrapper and what it wraps, the latter.

    Args:
        root: An unwrapped model.
        site: Its name, with or without the segments that wrappers add; or ``stem``, ``stage1``, ... of a model that says where
            these are (see :func:`~featmix.mixer.stages.stages`), unless it has a module of that name.

    Raises:
        FeatmixError: If there is none; the message names the nearest.
    """
    named = dict(root.named_modules(remove_duplicate=False))
    named.pop("", None)
    plainly = {plain(name): module for name, module in named.items()}
    found = named.get(site) or plainly.get(site) or plainly.get(plain(site))
    if found is None:
        known = stages(root)
        meant = known.get(plain(site), "")
        found = named.get(meant) or plainly.get(meant)
        if found is None:
            got = f"{site!r}, which its feature_info says is {meant!r}" if meant else repr(site)
            near = nearest(site, [*plainly, *known, INPUT])
            raise FeatmixError("attach", "site", expected="the name of a module", got=got, fix=near)
    return unwrap(found)


def plain(name: str) -> str:
    """Return a module's name without the segments that wrappers add.

    Example:
        >>> plain("_orig_mod.layer1._checkpoint_wrapped_module.0")
        'layer1.0'
        >>> plain("module.layer1")
        'layer1'
    """
    parts = [part for part in name.split(".") if part not in _WRAPPED_AS]
    return ".".join(parts[1:] if len(parts) > 1 and parts[0] == "module" else parts)
