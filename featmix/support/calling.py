"""Who calls a module: containers that hold modules in plain lists do not tell them of ``eval()``."""

from __future__ import annotations

import sys
from types import FrameType

from torch import nn

from featmix.support.compiling import never_traced


def acts(module: nn.Module) -> bool:
    """Whether a module is in training, as far as it and those that call it say.

    ``container.eval()`` reaches what is registered in it. torchvision's ``v2.Compose`` and its kin keep their members in plain
    lists, so that these stay in training mode; whoever holds them so decides by a mode of its own: a member does not act in
    the ``forward`` of a module that is in eval mode and does not have it registered.

    Example:
        >>> class Held(nn.Module):
        ...     def __init__(self, inner):
        ...         super().__init__()
        ...         self.held = [inner]
        ...     def forward(self):
        ...         return self.held[0]()
        >>> class Asks(nn.Module):
        ...     def forward(self):
        ...         return acts(self)
        >>> Held(Asks())(), Held(Asks()).eval()()
        (True, False)
    """
    return module.training and _called_in_training(module)


@never_traced
def _called_in_training(module: nn.Module) -> bool:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "forward":
            caller = frame.f_locals.get("self")
            if isinstance(caller, nn.Module) and not caller.training and all(held is not module for held in caller.modules()):
                return False
        frame = frame.f_back
    return True
