"""Loggers of Lightning Fabric, to watch runs while they train."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featmix.compare.contenders import label_of
from featmix.compare.results import Key
from featmix.compare.settings import Settings
from featmix.errors import FeatmixError, nearest
from featmix.support.extras import imported

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LOGS = "logs"
_UNSAFE = re.compile(r"[^A-Za-z0-9_.=+@-]+")


def _tensorboard(folder: Path, name: str, version: str) -> Any:
    imported("tensorboard", subject="compare", argument="logger", install="tensorboard")
    return imported("lightning_fabric.loggers", subject="compare", install="featmix[compare]").TensorBoardLogger(
        folder, name=name, version=version
    )


def _wandb(folder: Path, name: str, version: str) -> Any:
    imported("wandb", subject="compare", argument="logger", install="wandb")
    loggers = imported("lightning.pytorch.loggers", subject="compare", install="featmix[lightning]")
    return loggers.WandbLogger(name=f"{name} {version}", group=name, save_dir=folder, project="featmix")


def _mlflow(folder: Path, name: str, version: str) -> Any:
    imported("mlflow", subject="compare", argument="logger", install="mlflow")
    loggers = imported("lightning.pytorch.loggers", subject="compare", install="featmix[lightning]")
    from filelock import FileLock  # which torch needs itself

    folder.mkdir(parents=True, exist_ok=True)
    where = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve()}/mlflow.db"  # it refuses plain files
    made = loggers.MLFlowLogger(experiment_name="featmix", run_name=f"{name} {version}", tracking_uri=where)
    with FileLock(folder / "mlflow.lock"):  # workers begin at the same time, and only one can make the tables
        _ = made.experiment
    return made


_MAKERS: Mapping[str, Callable[[Path, str, str], Any]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
}
LOGGERS = tuple(_MAKERS)


def checked_logger(kind: str) -> str:
    """Check the name of a logger, empty for none, and return it.

    Raises:
        FeatmixError: If there is no such logger, or its package is not installed.

    Example:
        >>> checked_logger("")
        ''
    """
    if kind and kind not in _MAKERS:
        fix = nearest(str(kind), LOGGERS)
        raise FeatmixError("compare", "logger", expected=f"one of {', '.join(LOGGERS)}", got=repr(kind), fix=fix)
    if kind:
        imported(kind, subject="compare", argument="logger", install=kind)
    return kind


def logger_of(where: str, key: Key) -> list[Any]:
    """Return a list with the logger of one run, or an empty one.

    Args:
        where: Kind of the logger and folder for its files, separated by a colon; empty for no logger.
        key: Key of the run's row.
    """
    if not where:
        return []
    kind, _, folder = where.partition(":")
    strategy, settings, site, seed, held_out = key
    version = f"seed{seed}" + (f"-{held_out}" if held_out else "")
    name, own = (_UNSAFE.sub("_", word).strip("_") or "_" for word in (label_of(strategy, settings, site), version))
    return [_MAKERS[kind](Path(folder), name, own)]


def begin_log(fabric: Fabric, key: Key, settings: Settings) -> None:
    """Log the key and the settings of a run, if it has a logger."""
    names = ("strategy", "strategy_settings", "site", "seed", "held_out")
    for logger in fabric.loggers:
        logger.log_hyperparams({**asdict(settings), **dict(zip(names, key, strict=True))})


def end_log(fabric: Fabric, measured: Mapping[str, float | None], epochs: int) -> None:
    """Log the results of a run, if it has a logger."""
    fabric.log_dict({name: value for name, value in measured.items() if value is not None}, step=epochs)
    for logger in fabric.loggers:
        logger.finalize("success")
