"""Recognizes functions that draw nothing, from their code, so that no generator has to be restored for them."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

# What arrays, tensors, PIL images and the modules of the first two have by these names draws nothing. Others are not known.
_ATTRIBUTES = """
    T abs add append array asarray as_tensor ascontiguousarray astype cat ceil chunk clamp clamp_ clip clone concatenate
    contiguous convert copy crop detach device dim div div_ dstack dtype expand expand_dims extend flip fliplr flipud
    flatten float float16 float32 float64 floor from_numpy full full_like half height hstack int int16 int32 int64 item
    long max mean median min mode moveaxis movedim mul mul_ ndim neg numel numpy ones ones_like pad permute pow quantile
    repeat reshape resize roll rot90 rotate round shape sigmoid sign size sqrt squeeze stack std sub sub_ sum swapaxes
    tensor tile to tolist transpose uint8 unbind unflatten unsqueeze var view vstack where width zeros zeros_like
"""
_BUILTINS = "abs bool dict divmod enumerate float int len list max min range round slice sum tuple zip"
_KNOWN, _SURE = frozenset(_ATTRIBUTES.split()), frozenset(_BUILTINS.split())
_TORCHVISION = "torchvision.transforms.v2."
_STILL = (
    *("Compose", "Resize", "CenterCrop", "Pad", "Normalize", "Grayscale", "RGB", "Identity", "ConvertImageDtype"),
    *("ToDtype", "ToImage", "ToPILImage", "ToPureTensor", "ToTensor", "PILToTensor", "ClampBoundingBoxes"),
)
_NAMES = ("LOAD_GLOBAL", "LOAD_NAME")
_DOTS = ("LOAD_ATTR", "LOAD_METHOD")


def draws_nothing(function: Any) -> bool:
    """Return whether a function uses only names known to draw nothing, or is such a transform of torchvision.

    Example:
        >>> draws_nothing(lambda image: image[:, ::-1].copy()), draws_nothing(lambda image: image + np.random.rand())
        (True, False)
    """
    kind = type(function)
    if kind.__module__.startswith(_TORCHVISION):
        return kind.__name__ in _STILL
    return _is_still(function, set())


def _is_still(value: Any, seen: set[int]) -> bool:
    if value is None or value is np or value is torch or isinstance(value, bool | int | float | str):
        return True
    if isinstance(value, ModuleType) or type(value) in (tuple, list):
        return not isinstance(value, ModuleType) and all(_is_still(each, seen) for each in value)
    if isinstance(value, np.ndarray):
        return bool(value.dtype.kind != "O")
    if not isinstance(value, FunctionType):
        return type(value) is Tensor
    if id(value) in seen:
        return True
    seen.add(id(value))
    try:
        held = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        held += [cell.cell_contents for cell in value.__closure__ or ()]
    except ValueError:  # a cell that is not filled yet
        return False
    named = {name for code in _codes(value.__code__) for name in _names_in(code)}
    if None in named:
        return False
    for name in named:
        if name not in value.__globals__:
            if name not in _SURE:
                return False
        else:
            held.append(value.__globals__[name])
    return all(_is_still(each, seen) for each in held)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _names_in(code: CodeType) -> Iterator[str | None]:
    """Yield global names; ``None`` for anything that is not known."""
    for step in dis.get_instructions(code):
        if step.opname in _NAMES:
            yield step.argval
        elif step.opcode in dis.hasname and (step.opname not in _DOTS or step.argval not in _KNOWN):
            yield None
