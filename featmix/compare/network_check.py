"""Checks a network before the first run: that it takes the images, returns logits, and can be trained."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own usage
from torch import Tensor, nn

from featmix.compare.feeding import to_floats
from featmix.compare.models import Factory, shown
from featmix.compare.settings import Settings
from featmix.compare.sources import Source
from featmix.compare.training import make_network
from featmix.errors import FeatmixError

_ROWS = 4


def checked_network(settings: Settings, source: Source, factory: Factory | None = None) -> nn.Module:
    """Make the network twice, and try a training step and a forward in eval mode on noise.

    Args:
        settings: Settings with the name of the network.
        source: The data set.
        factory: Makes it, if it cannot be found by name.

    Returns:
        The network.

    Raises:
        FeatmixError: If it does not take such images, does not return logits, cannot be trained, or differs for the same seed.
    """
    classes, size = len(source.classes), source.image_size
    with torch.random.fork_rng(devices=[]):
        network, twin = (make_network(settings, classes, 0, size=size, factory=factory) for _ in range(2))
        _check_new(settings, network, twin)
        if not any(one.requires_grad for one in network.parameters()):
            raise _refused(settings, "weights that can be trained", "none")
        rows = min(_ROWS, settings.batch_size // settings.devices)
        images = to_floats(torch.randint(256, (rows, 3, *size), dtype=torch.uint8))
        network.train()
        logits = _logits(settings, network, images, classes, "training")
        _learn(settings, network, logits, torch.arange(rows) % classes)
        network.eval()
        with torch.no_grad():
            _logits(settings, network, images, classes, "eval")
    return network


def _check_new(settings: Settings, network: nn.Module, twin: nn.Module) -> None:
    """Check that each run begins with new weights, the same for all strategies of a seed."""
    own = {id(one) for one in network.parameters()}
    if network is twin or any(id(one) in own for one in twin.parameters()):
        got = "one whose weights are those of the last, so that a run would go on where another ended"
        raise _refused(settings, "a new network each time", got, "Make it inside the function.")
    first, second = network.state_dict(), twin.state_dict()
    unlike = [name for name in first if name not in second or not _same(first[name], second[name])]
    if unlike or first.keys() != second.keys():
        got = f"others at the same seed, such as {(unlike or [*second])[0]!r}"
        raise _refused(settings, "initial weights that torch.manual_seed decides", got, "Draw them with torch's generator.")


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(torch.equal(torch.nan_to_num(one.float()), torch.nan_to_num(other.float())))


def _logits(settings: Settings, network: nn.Module, images: Tensor, classes: int, mode: str) -> Tensor:
    size = " x ".join(map(str, images.shape[-2:]))
    try:
        found: Any = network(images)
    except Exception as error:
        got = f"{type(error).__name__} in {mode} mode: {error}"
        fix = "Try another --size, or give a network of your own an adaptive pooling before its last layer."
        raise _refused(settings, f"a network that takes {len(images)} images of {size} with 3 channels", got, fix) from error
    wanted = (len(images), classes)
    if not isinstance(found, Tensor):
        fix = "Return the logits alone, for example from a module around it."
        raise _refused(settings, f"logits of shape {wanted} from forward, in {mode} mode", type(found).__name__, fix)
    if tuple(found.shape) != wanted or not found.is_floating_point():
        fix = "The function that makes it is given the number of classes."
        got = f"{found.dtype} of shape {tuple(found.shape)}"
        raise _refused(settings, f"logits of shape {wanted} from forward, in {mode} mode", got, fix)
    if not bool(found.detach().isfinite().all()):
        raise _refused(settings, f"finite logits in {mode} mode", "infinite ones, or none that are numbers")
    return found


def _learn(settings: Settings, network: nn.Module, logits: Tensor, labels: Tensor) -> None:
    try:
        F.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
    except Exception as error:
        got = f"{type(error).__name__} in the backward pass: {error}"
        raise _refused(settings, "a network that can be trained", got) from error
    if not any(one.grad is not None for one in network.parameters()):
        raise _refused(settings, "logits that depend on the weights", "no gradient of any")
    network.zero_grad()


def _refused(settings: Settings, expected: str, got: str, fix: str = "") -> FeatmixError:
    got = " ".join(got.split())
    return FeatmixError("compare", f"model {shown(settings.model)}", expected=expected, got=got, fix=fix)
