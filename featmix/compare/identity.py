"""What the runs in a folder were made with: settings by name, and data, networks and weights by content."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from torch import nn

from featmix.compare import models, weights
from featmix.compare.models import SMALL, Factory
from featmix.compare.settings import Settings
from featmix.compare.sources import Source


def record_of(
    settings: Settings, source: Source, network: nn.Module | None = None, factory: Factory | None = None
) -> dict[str, object]:
    """Return the settings that are written beside the runs, with what changes when contents do.

    Files that are told by their content are named without their folder, which differs from machine to machine.

    Args:
        settings: What all runs share.
        source: The data.
        network: One that is not the small one.
        factory: Makes it, where its name is none that can be found again.
    """
    record: dict[str, object] = {**asdict(settings), "data_fingerprint": source.fingerprint}
    if network is not None and settings.model != SMALL:
        record["model"] = models.shown(settings.model)
        record["model_fingerprint"] = models.fingerprint(settings.model, network, factory)
    if settings.weights:
        record["weights"] = Path(settings.weights).name
        record["weights_fingerprint"] = weights.fingerprint(Path(settings.weights))
    return record
