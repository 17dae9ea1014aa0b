"""The settings that all runs of one experiment share: change one, and the rows can no longer be compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from featmix.checks import whole
from featmix.compare.data import DATA_SETS, absolute, usual
from featmix.compare.models import SMALL, WORDS, checked_word
from featmix.compare.styles import DEFAULT_STYLES, STYLES, chosen_styles
from featmix.errors import FeatmixError, nearest

PRECISIONS = ("32-true", "16-mixed", "bf16-mixed", "bf16-true", "64-true")
DEVICES = ("cpu", "cuda", "mps")

QUICK = {"epochs": 1, "limit": 300}


_SUITS = "what suits the data"
OWN_LR = 0.001  # for networks of all kinds, some of which a higher one ruins
AMP = "amp"
AMP_HELP = "Mixed precision: bf16-mixed, or 16-mixed where the device has no other."


def _setting(default: Any, help: str, *, shown: str | None = None) -> Any:
    """Return a field; ``shown`` describes its default if that is no value."""
    return field(default=default, metadata={"help": help, "shown": str(default) if shown is None else shown})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings that all runs of an experiment share; runs differ in strategy, seed and held-out domain.

    The options of ``featmix compare``, and the arguments of ``featmix.compare.compare``, are read off these fields.
    """

    data: str = _setting("digits", f"{', '.join(DATA_SETS[:-1])} or {DATA_SETS[-1]}.")
    root: str = _setting("", "Folder with the files of fashion-mnist, its usual place where empty; or torchvision's folder.")
    styles: str = _setting(
        "",
        f"What digits and fashion-mnist are rendered in: some of {', '.join(STYLES)}.",
        shown=",".join(DEFAULT_STYLES),
    )
    limit: int | None = _setting(None, "At most so many training images per domain.", shown=_SUITS)
    size: int | None = _setting(None, "Side in pixels that images of one's own are resized to.", shown=_SUITS)
    model: str = _setting(SMALL, f"{WORDS}. The function takes the number of classes.")
    weights: str = _setting("", "A file of initial weights for the model: .safetensors, or a state_dict that torch saved.")
    width: int = _setting(8, "Channels of the small network's stem.", shown=_SUITS)
    epochs: int = _setting(4, "Passes over the training images.", shown=_SUITS)
    batch_size: int = _setting(64, "Images per step, over all devices.")
    lr: float = _setting(0.01, "Highest learning rate.", shown=f"0.01, and {OWN_LR} for another model")
    device: str = _setting("cpu", "cpu, cuda, cuda:NUMBER, mps, or auto for the best there is.")
    devices: int = _setting(1, "Devices that train one network together.")
    precision: str = _setting("32-true", f"{', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}.")
    compile: bool = _setting(False, "Compile the model with torch.compile.", shown="")

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
        if not isinstance(self.compile, bool):
            raise FeatmixError("compare", "compile", expected="True or False", got=repr(self.compile))
        if self.model != SMALL and self.width != Settings.width:
            fix = "Networks of one's own have a width of their own."
            raise FeatmixError("compare", "width", expected="none but for the small network", got=self.width, fix=fix)
        _check_device(self.device, self.devices)
        if self.precision == "16-mixed" and self.device == "cpu":
            fix = "Use bf16-mixed there."
            raise FeatmixError("compare", "precision", expected="one that the cpu has", got=repr(self.precision), fix=fix)
        if self.batch_size < 2 * self.devices:
            got = f"{self.batch_size} images for {self.devices} device(s)"
            raise FeatmixError("compare", "batch_size", expected="at least 2 images per device", got=got)


Settings.__doc__ = "\n".join(
    [f"{Settings.__doc__}", "    Args:", *(f"        {one.name}: {one.metadata['help']}" for one in fields(Settings))]
)


def resolve(given: Mapping[str, Any], *, quick: bool = False) -> Settings:
    """Fill in the defaults for the data set, and check all settings.

    Args:
        given: Settings by name; ``None`` is the same as a missing one, and paths may be relative.
        quick: Fewer epochs and images by default.

    Raises:
        FeatmixError: for an unknown setting, and for a value that is out of range.

    Example:
        >>> resolve({"data": "digits", "lr": 0.1, "width": None}, quick=True).epochs
        1
    """
    known = [*(one.name for one in fields(Settings)), AMP]
    for name in given:
        if name not in known:
            raise FeatmixError("compare", name, expected="a known setting", got=repr(name), fix=nearest(name, known))
    said = {name: value for name, value in given.items() if value is not None}
    for name in ("data", "styles", "device", "precision", "model"):
        if not isinstance(said.get(name, ""), str):
            raise FeatmixError("compare", name, expected="a word, as on the command line", got=type(said[name]).__name__)
    if said.get("device") == "auto":
        said["device"] = _available()
    said = _with_amp(said)
    if said.get("styles"):
        chosen = chosen_styles(said["styles"])
        said["styles"] = "" if chosen == DEFAULT_STYLES else ",".join(chosen)
    for name in ("root", "weights"):
        if said.get(name):
            said[name] = str(Path(said[name]).expanduser().resolve())
    data = said.get("data", Settings.data)
    suiting = {**vars(usual(data)), **(QUICK if quick else {})}
    said["model"] = checked_word(said.get("model", SMALL))
    if said["model"] != SMALL:
        suiting |= {"width": Settings.width, "lr": OWN_LR}
    return Settings(**{**suiting, **said, "data": absolute(data)})


def completed(record: Mapping[str, object]) -> dict[str, object]:
    """Return settings of a record, with defaults for those that did not exist when it was written."""
    return {**{one.name: one.default for one in fields(Settings)}, **record}


def _with_amp(said: dict[str, Any]) -> dict[str, Any]:
    """Return settings with ``amp`` replaced by the precision that it means."""
    amp = said.pop(AMP, False)
    if not amp:
        return said
    if "precision" in said:
        raise FeatmixError("compare", "precision", expected="either amp or a precision", got=f"both, {said['precision']!r}")
    kind = said.get("device", Settings.device).partition(":")[0]
    halves = kind == "mps" or (kind == "cuda" and torch.cuda.is_available() and not torch.cuda.is_bf16_supported())
    return {**said, "precision": "16-mixed" if halves else "bf16-mixed"}


def _available() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _check_device(device: str, devices: int) -> None:
    kind, colon, number = device.partition(":")
    if kind not in DEVICES or (
        colon and (kind != "cuda" or not (number.isascii() and number.isdigit() and len(number) < 4) or devices > 1)
    ):
        expected = "cpu, cuda, cuda:NUMBER (with --devices 1), mps or auto"
        raise FeatmixError("compare", "device", expected=expected, got=repr(device), fix=nearest(kind, DEVICES))
    count = torch.cuda.device_count() if kind == "cuda" else int(torch.backends.mps.is_available()) if kind == "mps" else None
    needed = int(number) + 1 if number else devices
    if count is not None and count < needed:
        got = f"{count} on this machine"
        raise FeatmixError(
            "compare", "device", expected=f"{needed} {kind} device(s)", got=got, fix="--device cpu always works."
        )
