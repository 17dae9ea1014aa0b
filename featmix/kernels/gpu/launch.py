"""Launching a program at the least cost on the host.

Triton's own launch works out the types and the divisibility of every argument each time. Here a launch is described once for a
shape, and what Triton compiled for it is held: only the addresses are looked at again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Tensors = tuple[Tensor | None, ...]


@dataclass(eq=False)
class Launch:
    """A program and everything that depends on shapes only.

    Args:
        program: A ``triton.jit`` function whose arguments are tensors, then the values of a call, then ``arguments``.
        programs: How many run, in a grid of one axis.
        arguments: Sizes, strides and constants, in the order of the program's arguments.
        warps: Of 32 threads each, for one program.
        held: What runs it, by the device, by whether all tensors are aligned, and by the dtype of each (or ``None``).
    """

    program: Any
    programs: int
    arguments: tuple[Any, ...]
    warps: int
    held: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def __call__(self, tensors: Tensors, *values: float) -> None:
        """Run it on the device and the current stream of the first tensor."""
        first = tensors[0]
        index = first.get_device() if first is not None else -1
        if index < 0 or index == torch.cuda.current_device():
            self._run(index, tensors, values)
        else:
            with torch.cuda.device(index):
                self._run(index, tensors, values)

    def _run(self, index: int, tensors: Tensors, values: tuple[float, ...]) -> None:
        dtypes: list[torch.dtype | None] = []
        addresses = 0
        for tensor in tensors:
            if tensor is None:
                dtypes.append(None)
            else:
                dtypes.append(tensor.dtype)
                addresses |= tensor.data_ptr()
        key = (index, addresses % _ALIGNED, *dtypes)
        held = self.held.get(key)
        if held is not None:
            held(*tensors, *values, *self.arguments, stream=torch._C._cuda_getCurrentRawStream(index))
            return
        grid = (self.programs, 1, 1)
        made = self.program[grid](*tensors, *values, *self.arguments, num_warps=self.warps)
        if index >= 0:  # the interpreter compiles nothing
            self.held[key] = made[grid]


_ALIGNED = 16  # bytes that a thread reads at once
