"""The settings that all runs of one experiment share: change one, and the rows can no longer be compared."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import torch

from featmix.checks import whole
from featmix.compare.data import usual
from featmix.errors import FeatmixError, nearest

PRECISIONS = ("32-true", "16-mixed", "bf16-mixed", "bf16-true", "64-true")
DEVICES = ("cpu", "cuda", "mps")

QUICK_EPOCHS, QUICK_LIMIT, QUICK_SEEDS = 1, 300, 2


@dataclass(frozen=True)
class Settings:
    """How every run of an experiment is made; strategies, seeds and held-out domains are what runs differ in.

    Args:
        data: Name of the data set.
        root: Where its files are; empty for the usual place.
        limit: Training images per domain; None for all.
        size: Side in pixels that the images of a folder are resized to; None elsewhere.
        width: Channels of the network's stem.
        epochs: Passes over the training images in all training domains.
        batch_size: Images per step, over all devices.
        lr: Highest learning rate.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        devices: How many devices train one network together.
        precision: As Lightning Fabric names it.
    """

    data: str = "digits"
    root: str = ""
    limit: int | None = None
    size: int | None = None
    width: int = 8
    epochs: int = 4
    batch_size: int = 64
    lr: float = 0.01
    device: str = "cpu"
    devices: int = 1
    precision: str = "32-true"

    def __post_init__(self) -> None:
        for name in ("limit", "size", "width", "epochs", "batch_size", "devices"):
            value = getattr(self, name)
            if not (value is None and name in ("limit", "size")):
                whole("compare", name, value, least=1)
        if not isinstance(self.lr, int | float) or not (math.isfinite(self.lr) and self.lr > 0):
            raise FeatmixError("compare", "lr", expected="a positive number", got=repr(self.lr))
        if self.size is not None and self.size < 8:
            raise FeatmixError("compare", "size", expected="at least 8 pixels", got=self.size)
        if self.precision not in PRECISIONS:
            fix = nearest(self.precision, PRECISIONS)
            raise FeatmixError("compare", "precision", expected="a known precision", got=repr(self.precision), fix=fix)
        _check_device(self.device, self.devices)
        if self.precision == "16-mixed" and self.device == "cpu":
            fix = "Use bf16-mixed there."
            raise FeatmixError("compare", "precision", expected="one that the cpu has", got=repr(self.precision), fix=fix)
        if self.batch_size < 2 * self.devices:
            got = f"{self.batch_size} images for {self.devices} device(s)"
            raise FeatmixError("compare", "batch_size", expected="at least 2 images per device", got=got)


def resolve(
    *,
    data: str,
    root: Path | str | None,
    limit: int | None,
    size: int | None,
    width: int | None,
    epochs: int | None,
    batch_size: int,
    lr: float,
    device: str,
    devices: int,
    precision: str,
    quick: bool,
) -> Settings:
    """Fill in what suits the data set where the user says nothing, and check everything.

    Raises:
        FeatmixError: for any setting out of range.

    Example:
        >>> plain = dict(root=None, limit=None, size=None, width=None, batch_size=64, lr=0.01, device="cpu", devices=1)
        >>> resolve(data="digits", epochs=None, precision="32-true", quick=True, **plain).epochs
        1
    """
    preset = usual(data)
    if epochs is None:
        epochs = QUICK_EPOCHS if quick else preset.epochs
    if limit is None:
        limit = QUICK_LIMIT if quick else preset.limit
    return Settings(
        data=_absolute(data),
        root="" if root is None else str(Path(root).expanduser().resolve()),
        limit=limit,
        size=preset.size if size is None else size,
        width=preset.width if width is None else width,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        device=_available() if device == "auto" else device,
        devices=devices,
        precision=precision,
    )


def as_dict(settings: Settings) -> dict[str, object]:
    """Names and values, as they are written to ``settings.json``."""
    return dataclasses.asdict(settings)


def _absolute(data: str) -> str:
    kind, colon, path = data.partition(":")
    return f"{kind}:{Path(path).expanduser().resolve()}" if colon else data


def _available() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _check_device(device: str, devices: int) -> None:
    kind, colon, number = device.partition(":")
    if kind not in DEVICES or (colon and (kind != "cuda" or not number.isdigit() or devices > 1)):
        expected = "cpu, cuda, cuda:NUMBER (with --devices 1), mps or auto"
        raise FeatmixError("compare", "device", expected=expected, got=repr(device), fix=nearest(kind, DEVICES))
    count = torch.cuda.device_count() if kind == "cuda" else int(torch.backends.mps.is_available()) if kind == "mps" else None
    needed = int(number) + 1 if number else devices
    if count is not None and count < needed:
        got = f"{count} on this machine"
        raise FeatmixError(
            "compare", "device", expected=f"{needed} {kind} device(s)", got=got, fix="--device cpu always works."
        )
