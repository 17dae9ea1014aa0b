"""Identifies the runs in a folder: by the values of settings, and by the content of data, networks and weights."""

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
    """Return the settings that are written beside the runs, with fingerprints of the content of files.

    Files with a fingerprint are named without their folder, which differs between machines.

    Args:
        settings: Settings of all runs.
        source: The data.
        network: The network, unless it is the small one.
        factory: Makes it, if it cannot be found by name.
    """
    record: dict[str, object] = {**asdict(settings), "data_fingerprint": source.fingerprint}
    if network is not None and settings.model != SMALL:
        record["model"] = models.shown(settings.model)
        record["model_fingerprint"] = models.fingerprint(settings.model, network, factory)
    if settings.weights:
        record["weights"] = Path(settings.weights).name
        record["weights_fingerprint"] = weights.fingerprint(Path(settings.weights))
    return record
