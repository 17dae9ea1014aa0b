"""What a subject shares with the rest of the process: generators, threads and flags. Looked at, and put back."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

_UNUSUAL = 0xFEA7  # a seed, and a number of threads, that nobody sets
_THREADS = 3
_COMPUTING = ("CUBLAS_", "CUDA_", "MKL_", "OMP_", "PYTHONHASHSEED", "TORCH_")  # other variables are set by imports as well


def _numpy_state() -> Any:
    name, keys, *rest = np.random.get_state(legacy=True)
    return name, np.asarray(keys).tobytes(), *rest


def _flushes_denormals() -> bool:
    return bool(torch.full((1,), 1e-40, dtype=torch.float32, device="cpu") * 1.0 == 0)


def _set_device(kept: torch.device) -> None:
    torch.set_default_device(None if kept.type == "cpu" else kept)


def _cudnn() -> Any:
    flags = torch.backends.cudnn
    return flags.enabled, flags.benchmark, flags.deterministic


def _set_cudnn(kept: Any) -> None:
    flags = torch.backends.cudnn
    flags.enabled, flags.benchmark, flags.deterministic = kept


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_COMPUTING)}


def _set_environment(kept: dict[str, str]) -> None:
    for name in set(_environment()) - set(kept):
        del os.environ[name]
    os.environ.update(kept)


_SHARED: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {  # what it is: how to look at it, and to put it back
    "torch's threads": (torch.get_num_threads, torch.set_num_threads),
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's default device": (torch.get_default_device, _set_device),
    "torch's deterministic algorithms": (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    "cuDNN's flags": (_cudnn, _set_cudnn),
    "the precision of matrix products": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "what is done about denormal numbers": (_flushes_denormals, torch.set_flush_denormal),
    "detection of anomalies": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "autocast": (lambda: torch.is_autocast_enabled("cpu"), lambda kept: torch.set_autocast_enabled("cpu", kept)),
    "NumPy's handling of errors": (np.geterr, lambda kept: np.seterr(**kept)),
    "the environment": (_environment, _set_environment),
    "whether gradients are recorded": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch's global generator": (lambda: bytes(torch.get_rng_state().numpy()), lambda _: None),
    "NumPy's global generator": (_numpy_state, lambda _: None),
    "Python's global generator": (random.getstate, random.setstate),
}


class Surroundings:
    """What was there when it was made, to be compared with what is there later."""

    def __init__(self) -> None:
        self._before = {what: look() for what, (look, _) in _SHARED.items()}

    def changed(self) -> list[str]:
        """Return what is no longer as it was."""
        return [what for what, (look, _) in _SHARED.items() if look() != self._before[what]]

    def restore(self) -> None:
        """Put back what changed."""
        for what in self.changed():
            _SHARED[what][1](self._before[what])


@contextmanager
def unusual_surroundings() -> Iterator[Surroundings]:
    """Seeds and threads that nobody sets, so that one who sets them is seen; all is put back afterwards, whatever happened."""
    numpy_state, python_state, outside = np.random.get_state(), random.getstate(), Surroundings()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_UNUSUAL)
            np.random.seed(_UNUSUAL)
            random.seed(_UNUSUAL)
            torch.set_num_threads(_THREADS)
            yield Surroundings()
    finally:
        outside.restore()
        np.random.set_state(numpy_state)
        random.setstate(python_state)
