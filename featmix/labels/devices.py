"""Small tensors on their way to where the features are."""

from __future__ import annotations

import torch
from torch import Tensor


def moved(x: Tensor, device: torch.device | str) -> Tensor:
    """``x`` on another device, without making the host wait for a GPU: what was drawn on the host is ready when it is sent.

    Example:
        >>> moved(torch.ones(2), "meta").device.type
        'meta'
    """
    device = torch.device(device)
    return x.to(device, non_blocking=device.type == "cuda")
