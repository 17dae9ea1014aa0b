"""Loading the real torchvision, also its wheel for another build of torch, whose compiled operators cannot be loaded here.

torchvision's Python says, at import, what two of its compiled operators do to shapes; where they are not there, that fails:
"operator torchvision::nms does not exist". Declared beforehand, without an implementation, all that is Python works.
"""

import importlib
import os
import sys
from pathlib import Path

import pytest
import torch

DECLARED = ("nms", "qnms")
_kept = []  # declarations live as long as the library object


def torchvision_or_skip(module="torchvision"):
    """A module of the real torchvision; skips where there is none that can be loaded, with the reason.

    It is looked for where Python looks, then in the folder that FEATMIX_TORCHVISION names or in ``torchvision`` beside the
    environment's own folders: kept apart, so that other packages do not find one that they cannot load.
    """
    aside = Path(os.environ.get("FEATMIX_TORCHVISION", Path(sys.prefix) / "torchvision"))
    extra = [str(aside)] if importlib.util.find_spec("torchvision") is None and aside.is_dir() else []
    sys.path += extra
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        pytest.skip(f"no torchvision here: {error}", allow_module_level=True)
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            pytest.skip(f"torchvision cannot be loaded: {error}", allow_module_level=True)
        return _without_operators(module)
    finally:
        for path in extra:  # processes that are spawned get this list, and nobody declares operators there
            sys.path.remove(path)


def _without_operators(module):
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # the half that was imported
    if not _kept:
        _kept.append(torch.library.Library("torchvision", "FRAGMENT"))
        for operator in DECLARED:
            _kept[0].define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    try:
        return importlib.import_module(module)
    except RuntimeError as error:
        pytest.skip(f"torchvision cannot be loaded, its operators declared or not: {error}", allow_module_level=True)
