"""Finding a module by the name that its author gave it, whatever it has been wrapped in since."""

from __future__ import annotations

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from featmix.errors import FeatmixError, nearest
from featmix.mixer.stages import stages
from featmix.mixer.tree import INPUT

_FEW = 4  # names that are listed
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


def runnable(model: nn.Module) -> nn.Module:
    """Return what runs a model alone in this process: without compilers and data parallelism, with what gathers its weights."""
    if isinstance(model, DistributedDataParallel | DataParallel):
        return runnable(model.module)
    compiled = model._modules.get(_WRAPPED_AS[0])
    return model if compiled is None else runnable(compiled)


def find(root: nn.Module, site: str) -> nn.Module:
    """Return the module at a site; of a wrapper and what it wraps, the latter.

    Args:
        root: An unwrapped model.
        site: Its name, with or without the segments that wrappers add; or ``stem``, ``stage1``, ... of a model that says where
            these are (see :func:`~featmix.mixer.stages.stages`), unless it has a module of that name. For a sequence in a
            model that checkpoints its layers, the last module in it stands.

    Raises:
        FeatmixError: If there is none; the message names the nearest.
    """
    named = dict(root.named_modules(remove_duplicate=False))
    named.pop("", None)
    plainly = {plain(name): module for name, module in named.items()}
    found = next((by[name] for by, name in ((named, site), (plainly, site), (plainly, plain(site))) if name in by), None)
    if found is None:
        known = stages(root)
        meant = known.get(plain(site), "")
        found = named.get(meant, plainly.get(meant))
        if found is None:
            got = f"{site!r}, which its feature_info says is {meant!r}" if meant else repr(site)
            near = _of_class(root, site) or nearest(site, [*plainly, *known, INPUT])
            raise FeatmixError("attach", "site", expected="the name of a module", got=got, fix=near)
    module = unwrap(found)
    return _last(module) if any(getattr(m, "grad_checkpointing", False) is True for m in root.modules()) else module


def _of_class(root: nn.Module, site: str) -> str:
    """Return the names of modules whose class is called like a site."""
    of_it = [plain(name) for name, module in root.named_modules() if name and type(module).__name__ == site]
    if not of_it:
        return ""
    more = f" and {len(of_it) - _FEW} more" if len(of_it) > _FEW else ""
    return f"That is a class; modules of it are {', '.join(map(repr, of_it[:_FEW]))}{more}."


def _last(module: nn.Module) -> nn.Module:
    """Return the last module of a sequence, which gives what the sequence gives.

    Models that checkpoint their layers, such as timm's after ``set_grad_checkpointing``, call the modules of a sequence one by
    one, and the sequence itself never.
    """
    if type(module).forward is nn.Sequential.forward and len(module):  # type: ignore[arg-type]
        last = unwrap(list(module.children())[-1])
        if not isinstance(last, nn.Sequential) or len(last):
            return _last(last)
    return module


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
