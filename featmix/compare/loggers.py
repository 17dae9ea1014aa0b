"""Loggers of Lightning Fabric: where others watch runs while they go on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from featmix.errors import FeatmixError, nearest
from featmix.support.extras import imported

FOLDER = "logs"
_UNSAFE = re.compile(r"[^A-Za-z0-9_.=+@-]+")


def _tensorboard(folder: Path, name: str, version: str) -> Any:
    imported("tensorboard", subject="compare", argument="logger", install="tensorboard")
    return imported("lightning_fabric.loggers", subject="compare", install="featmix[compare]").TensorBoardLogger(
        folder, name=name, version=version
    )


def _csv(folder: Path, name: str, version: str) -> Any:
    loggers = imported("lightning_fabric.loggers", subject="compare", install="featmix[compare]")
    return loggers.CSVLogger(folder, name=name, version=version)


def _wandb(folder: Path, name: str, version: str) -> Any:
    imported("wandb", subject="compare", argument="logger", install="wandb")
    loggers = imported("lightning.pytorch.loggers", subject="compare", install="featmix[lightning]")
    return loggers.WandbLogger(name=f"{name} {version}", group=name, save_dir=folder, project="featmix")


def _mlflow(folder: Path, name: str, version: str) -> Any:
    imported("mlflow", subject="compare", argument="logger", install="mlflow")
    loggers = imported("lightning.pytorch.loggers", subject="compare", install="featmix[lightning]")
    return loggers.MLFlowLogger(experiment_name="featmix", run_name=f"{name} {version}", save_dir=str(folder))


_MAKERS: Mapping[str, Callable[[Path, str, str], Any]] = {
    "tensorboard": _tensorboard,
    "csv": _csv,
    "wandb": _wandb,
    "mlflow": _mlflow,
}
LOGGERS = tuple(_MAKERS)


def checked_logger(kind: str) -> str:
    """Return the name of a logger, empty for none, if there is one.

    Raises:
        FeatmixError: If not, or what it needs is not installed.

    Example:
        >>> checked_logger("csv")
        'csv'
    """
    if kind and kind not in _MAKERS:
        fix = nearest(str(kind), LOGGERS)
        raise FeatmixError("compare", "logger", expected=f"one of {', '.join(LOGGERS)}", got=repr(kind), fix=fix)
    if kind in ("tensorboard", "wandb", "mlflow"):
        imported(kind, subject="compare", argument="logger", install=kind)
    return kind


def make_logger(kind: str, folder: Path, name: str, version: str) -> Any:
    """Return a logger of one run.

    Args:
        kind: One of ``LOGGERS``.
        folder: Where files go.
        name: Of the strategy.
        version: Of the run: its seed, and the domain left out.
    """
    safe, own = (_UNSAFE.sub("_", word).strip("_") or "_" for word in (name, version))
    return _MAKERS[kind](folder, safe, own)
