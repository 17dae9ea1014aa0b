"""Loggers of Lightning Fabric: where others watch runs while they go on."""

from __future__ import annotations

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
    return loggers.MLFlowLogger(experiment_name="featmix", run_name=f"{name} {version}", save_dir=str(folder))


_MAKERS: Mapping[str, Callable[[Path, str, str], Any]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
}
LOGGERS = tuple(_MAKERS)


def checked_logger(kind: str) -> str:
    """Return the name of a logger, empty for none, if there is one.

    Raises:
        FeatmixError: If not, or what it needs is not installed.

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
    """Return the logger of one run, or none.

    Args:
        where: Its kind and the folder for its files, with a colon between; empty for no logger.
        key: Of the run's row.
    """
    if not where:
        return []
    kind, _, folder = where.partition(":")
    strategy, settings, site, seed, held_out = key
    version = f"seed{seed}" + (f"-{held_out}" if held_out else "")
    name, own = (_UNSAFE.sub("_", word).strip("_") or "_" for word in (label_of(strategy, settings, site), version))
    return [_MAKERS[kind](Path(folder), name, own)]


def begin_log(fabric: Fabric, key: Key, settings: Settings) -> None:
    """Tell a run's logger what the run is, if it has one."""
    names = ("strategy", "strategy_settings", "site", "seed", "held_out")
    for logger in fabric.loggers:
        logger.log_hyperparams({**asdict(settings), **dict(zip(names, key, strict=True))})


def end_log(fabric: Fabric, measured: Mapping[str, float | None], epochs: int) -> None:
    """Tell it what the run came to."""
    fabric.log_dict({name: value for name, value in measured.items() if value is not None}, step=epochs)
    for logger in fabric.loggers:
        logger.finalize("success")
