"""Weights from a file on this machine: only tensors, so that no code in the file is run."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from featmix.errors import FeatmixError
from featmix.mixer.sites import plain
from featmix.support.extras import imported

_WRAPPED_IN = ("state_dict", "model", "model_state_dict")  # what training scripts put weights under
_COUNTER = "num_batches_tracked"  # of batch norm, which older files lack
_SHOWN = 3


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read tensors by name.

    Args:
        path: A ``.safetensors`` file, or a ``state_dict`` that ``torch.save`` wrote.

    Raises:
        FeatmixError: If it cannot be read, or contains anything else than tensors.
    """
    if not path.is_file():
        raise FeatmixError("compare", "weights", expected="a file of weights on this machine", got=str(path))
    try:
        if path.suffix == ".safetensors":
            library = imported("safetensors.torch", subject="compare", argument="weights", install="safetensors")
            found: Any = library.load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except FeatmixError:
        raise
    except pickle.UnpicklingError as error:
        fix = "Save the tensors alone: torch.save(network.state_dict(), path), or safetensors.torch.save_file."
        got = f"{path}, which holds other things and may run code"
        raise FeatmixError("compare", "weights", expected="a file of tensors", got=got, fix=fix) from error
    except Exception as error:  # readers raise whatever they like
        got = f"{path} ({type(error).__name__}: {error})"
        raise FeatmixError("compare", "weights", expected="a file of weights that can be read", got=got) from error
    for name in _WRAPPED_IN:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
            break
    if not isinstance(found, Mapping) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise FeatmixError("compare", "weights", expected="tensors by name", got=f"something else in {path}")
    return {plain(str(name)): value for name, value in found.items()}


def load_weights(network: nn.Module, path: Path, num_classes: int) -> list[str]:
    """Load weights from a file into a network; the classifier keeps its new weights if the file is for other classes.

    Args:
        network: The network.
        path: The file.
        num_classes: Number of logits of the network.

    Returns:
        Names of the weights that stayed new.

    Raises:
        FeatmixError: If weights are missing, unexpected, or of other shapes.
    """
    given, own = read_weights(path), network.state_dict()
    unlike = [name for name in own if name in given and given[name].shape != own[name].shape]
    new = [name for name in unlike if _for_other_classes(given[name], own[name], num_classes)]
    if len({name.rpartition(".")[0] for name in new}) > 1:  # logits come from one layer
        new = []
    shapes = [f"{name} {tuple(given[name].shape)} for {tuple(own[name].shape)}" for name in unlike if name not in new]
    missing = [name for name in own if name not in given and not name.endswith(_COUNTER)]
    left = [name for name in given if name not in own]
    kinds = (("of another shape", shapes), ("missing", missing), ("too many", left))
    told = [f"{len(names)} {kind} ({_some(names)})" for kind, names in kinds if names]
    if told:
        fix = "The file must be of this network; only the layer that gives the logits may be of another number of classes."
        got = f"{path}: {'; '.join(told)}"
        raise FeatmixError("compare", "weights", expected="weights that fit the network", got=got, fix=fix)
    network.load_state_dict({**own, **{name: value for name, value in given.items() if name not in new}})
    return new


def fingerprint(path: Path) -> str:
    """Return a fingerprint of the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _for_other_classes(given: Tensor, own: Tensor, num_classes: int) -> bool:
    return own.ndim in (1, 2, 4) and own.shape[0] == num_classes and given.shape[1:] == own.shape[1:]


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
