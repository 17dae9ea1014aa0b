"""Measures a trained network: accuracy and calibration on images that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from featmix.compare.feeding import to_floats
from featmix.compare.models import Size
from featmix.compare.sources import Images, Trial
from featmix.support.extras import imported

if TYPE_CHECKING:  # Lightning takes seconds to import, which only the workers need to spend
    from lightning_fabric import Fabric

CALIBRATION_BINS = 15

Measured = dict[str, float | None]

_BATCH = 512
_PIXELS = _BATCH * 64 * 64  # larger images are tested on in smaller batches


@torch.no_grad()
def measure(network: nn.Module, fabric: Fabric, trial: Trial, num_classes: int) -> Measured:
    """Measure accuracy on unseen images of the training domains and of the held-out one, and calibration in the latter.

    Args:
        network: The network; it is left in eval mode.
        fabric: Device and precision.
        trial: The images.
        num_classes: Number of classes.
    """
    network.eval()
    seen = _test(network, fabric, trial.seen, num_classes)
    unseen = None if trial.unseen is None else _test(network, fabric, trial.unseen, num_classes)
    return {
        "in_domain_accuracy": seen["accuracy"],
        "held_out_accuracy": None if unseen is None else unseen["accuracy"],
        "calibration_error": (unseen or seen)["calibration_error"],
    }


def size_of(images: Images) -> Size:
    """Return height and width of images."""
    height, width = images.pixels.shape[-2:]
    return height, width


def answers(network: nn.Module, fabric: Fabric, images: Images) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield probabilities ``(B, C)`` and labels ``(B,)`` of all images, in order, batch by batch.

    Args:
        network: The network, in eval mode.
        fabric: Device and precision.
        images: The images.
    """
    dtype = next(network.parameters()).dtype
    height, width = size_of(images)
    rows = min(_BATCH, max(1, _PIXELS // (height * width)))
    for begin in range(0, len(images), rows):
        pixels = images.pixels[begin : begin + rows].to(fabric.device)
        with fabric.autocast():
            logits = network(to_floats(pixels).to(dtype))
        yield logits.float().softmax(1), images.labels[begin : begin + rows].to(fabric.device)


def _test(network: nn.Module, fabric: Fabric, images: Images, num_classes: int) -> dict[str, float]:
    metrics, kinds = _metrics("torchmetrics"), _metrics("torchmetrics.classification")
    # Rank 0 tests alone, so its metrics must not wait for the others.
    measured = metrics.MetricCollection(
        {
            "accuracy": kinds.MulticlassAccuracy(num_classes, average="micro", sync_on_compute=False),
            "calibration_error": kinds.MulticlassCalibrationError(num_classes, n_bins=CALIBRATION_BINS, sync_on_compute=False),
        },
        compute_groups=False,
    ).to(fabric.device)
    for probabilities, labels in answers(network, fabric, images):
        measured.update(probabilities, labels)
    return {name: float(value) for name, value in measured.compute().items()}


def _metrics(module: str) -> Any:
    return imported(module, subject="compare", install="featmix[compare]")
