"""The first thing that every process does that trains."""

from __future__ import annotations

import os
import warnings

from featmix.support.extras import imported


def prepare_torch() -> None:
    """Make runs repeatable, whatever runs beside them, keep libraries from chattering, and import them."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts; needed for repeatable products
    warnings.filterwarnings("ignore", module=r"lightning_fabric|torchmetrics")
    for library in ("lightning_fabric", "torchmetrics.classification"):  # before the first run, so that no run waits for them
        imported(library, subject="compare", install="featmix[compare]")
    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # a tenth of a step
    torch.backends.cudnn.benchmark = False
