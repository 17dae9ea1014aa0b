"""Taking off a mixer whose handle is lost."""

from __future__ import annotations

from torch import nn

from featmix.errors import FeatmixError
from featmix.mixer.hooked import hooks_of


def detach(model: nn.Module) -> None:
    """Find the mixer of a model or of its parts, and remove it, as ``mixer.remove()`` does.

    Args:
        model: The model, a part of it that has a site, or what either is wrapped in: a compiler, data parallelism, a trainer.

    Raises:
        FeatmixError: If nothing is attached to it.

    Example:
        >>> import featmix as fm
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> mixer = fm.attach(model, {"0": fm.Mixup()})
        >>> del mixer
        >>> fm.detach(model)
        >>> fm.detach(model)
        Traceback (most recent call last):
        featmix.errors.FeatmixError: detach: model: expected a model that something is attached to, got none. ...
    """
    if not isinstance(model, nn.Module):
        raise FeatmixError("detach", "model", expected="a torch.nn.Module", got=type(model).__name__)
    switches = {id(hook.switch): hook.switch for hook in hooks_of(model)}
    if not switches:
        raise FeatmixError(
            "detach",
            "model",
            expected="a model that something is attached to",
            got="none",
            fix="Copies carry nothing: it may be a copy of the one that was attached to, or the mixer was removed already.",
        )
    for switch in switches.values():
        switch.release()
