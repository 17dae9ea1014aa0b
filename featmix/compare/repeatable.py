"""What every process that trains does first."""

from __future__ import annotations

import os
import warnings


def prepare_torch() -> None:
    """Make runs repeatable, whatever runs beside them, keep libraries from chattering, and import them."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts; needed for repeatable products
    warnings.filterwarnings("ignore", module=r"lightning_fabric|torchmetrics")
    import lightning_fabric  # noqa: F401 - here, before the first run, so that the import is not part of it
    import torch
    import torchmetrics.classification  # noqa: F401

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
