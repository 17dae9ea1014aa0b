"""The input of a probe: the moments of a layer's features, the normalized features, or all features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from featmix.compare.feeding import to_floats
from featmix.mixer.containers import first_tensor
from featmix.mixer.sites import find
from featmix.normalizers.base import Normalizer

MOMENTS, NORMALIZED, ALL = "moments", "normalized", "all"
PARTS = (MOMENTS, NORMALIZED, ALL)

Table = npt.NDArray[np.float32]

_BATCH = 256


@dataclass(frozen=True, eq=False)
class Features:
    """Features of a layer for the training images of a network, and for test images.

    Args:
        train: ``(N, C, H, W)``, of training images.
        test: ``(M, C, H, W)``, of test images.
    """

    train: Tensor
    test: Tensor

    def split(self, norm: Normalizer) -> Iterator[tuple[str, Table, Table]]:
        """Yield the parts into which a normalizer splits features: the name, training rows and test rows, one per sample.

        Batch norm uses the moments of the training images for both, as in a network; they are the same for each sample.

        Args:
            norm: The normalizer.
        """
        moments, test_moments = norm.moments(self.train), norm.moments(self.test)
        if norm.over_batch:
            test_moments = moments
        for part, kept in ((MOMENTS, True), (NORMALIZED, False)):
            tables = []
            for x, m in ((self.train, moments), (self.test, test_moments)):
                whole = torch.cat([m.mean.flatten(1), m.std.flatten(1)], 1).expand(len(x), -1) if kept else None
                tables.append(_rows((norm.view(x) - m.mean) / m.std if whole is None else whole))
            yield part, tables[0], tables[1]

    def whole(self) -> tuple[Table, Table]:
        """Return the complete features, one row per sample, for training and for testing."""
        return _rows(self.train), _rows(self.test)


@torch.no_grad()
def features_at(network: nn.Module, site: str, pixels: Tensor, device: torch.device) -> Tensor:
    """Return the output of a layer in eval mode, on the CPU in float32.

    Args:
        network: A network that takes images in the form of :func:`featmix.compare.feeding.to_floats`.
        site: Name of the layer; ``input`` for the images themselves.
        pixels: ``(N, 3, H, W)``, uint8.
        device: Device of the network.
    """
    network.eval()
    if site == "input":
        return to_floats(pixels)
    seen: list[Tensor] = []

    def note(_: nn.Module, __: object, output: object) -> None:
        x = first_tensor(output)
        if x is not None:
            seen.append(x.float().cpu())

    handle = find(network, site).register_forward_hook(note)
    try:
        for begin in range(0, len(pixels), _BATCH):
            network(to_floats(pixels[begin : begin + _BATCH].to(device)))
    finally:
        handle.remove()
    return torch.cat(seen).contiguous()


def _rows(x: Tensor) -> Table:
    return np.ascontiguousarray(x.flatten(1).float().numpy())
