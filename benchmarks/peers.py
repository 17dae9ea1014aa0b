"""Other libraries' Mixup and CutMix: found where they are installed, and used as their documentation says."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

Mixing = Callable[[Tensor, Tensor], object]
_kept: list[object] = []  # declarations live as long as the library object


def kornia(method: str, classes: int) -> Mixing:
    """kornia's, for images and class indices; its default is to mix each batch."""
    augmentation = importlib.import_module("kornia.augmentation")
    keys = {"p": 1.0, "data_keys": ["input", "class"]}
    made = {"mixup": augmentation.RandomMixUpV2, "cutmix": augmentation.RandomCutMixV2}[method](**keys)
    return lambda x, y: made(x, y)


def torchvision(method: str, classes: int) -> Mixing:
    """Torchvision's v2 transforms, which give one-hot labels."""
    v2 = torchvision_v2()
    made = {"mixup": v2.MixUp, "cutmix": v2.CutMix}[method](num_classes=classes)
    return lambda x, y: made(x, y)


def mixup(method: str, classes: int) -> Mixing:
    """The package ``mixup``, for one-hot labels; encoding them is part of the call, for others take class indices."""
    methods = importlib.import_module("mixup.methods")
    made = {"mixup": methods.VanillaMixUp, "cutmix": methods.CutMix}[method]()
    return lambda x, y: made(x, F.one_hot(y, classes).float())


def timm_in_place(method: str, classes: int) -> Mixing:
    """timm's, which writes into the batch."""
    torchvision_v2()  # timm's layers import it
    made_by = importlib.import_module("timm.data").Mixup
    alphas = {"mixup_alpha": float(method == "mixup"), "cutmix_alpha": float(method == "cutmix")}
    made = made_by(**alphas, num_classes=classes, label_smoothing=0.0)
    return lambda x, y: made(x, y)


def out_of_place() -> dict[str, Callable[[str, int], Mixing]]:
    """By the name of the library."""
    return {"kornia": kornia, "torchvision": torchvision, "mixup (the package)": mixup}


def aside() -> Path:
    """Where torchvision lies, out of others' sight."""
    return Path(os.environ.get("FEATMIX_TORCHVISION", Path(sys.prefix) / "torchvision"))


def torchvision_v2() -> ModuleType:
    """Torchvision's transforms, from the environment or a folder aside.

    A wheel built for another torch cannot load its compiled operators. Mixing calls none of them: they are declared here
    without an implementation, so that the Python part can be imported.
    """
    extra = [str(aside())] if importlib.util.find_spec("torchvision") is None else []
    sys.path += extra
    try:
        return importlib.import_module("torchvision.transforms.v2")
    except RuntimeError:
        for module in [module for module in sys.modules if module.partition(".")[0] == "torchvision"]:
            del sys.modules[module]
        declare: Any = torch.library.Library
        library = declare("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(library)
        return importlib.import_module("torchvision.transforms.v2")
    finally:
        for path in extra:  # processes that are spawned get this list, and nobody declares operators there
            sys.path.remove(path)
