"""Prepares torch in every process that trains, before anything else."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from featmix.support.extras import imported


def prepare_torch() -> None:
    """Make runs repeatable, also beside other processes, silence messages of libraries, and import them."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts; needed for repeatable products
    warnings.filterwarnings("ignore", module=r"lightning_fabric|torchmetrics")
    for library in ("lightning_fabric", "torchmetrics.classification"):  # before the first run, so that no run waits for them
        imported(library, subject="compare", install="featmix[compare]")
    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # a tenth of a step
    torch.backends.cudnn.benchmark = False


@contextmanager
def prepared_torch() -> Iterator[None]:
    """Prepare torch in a context, and restore its threads and switches afterwards, for a process with other tasks too."""
    import torch

    switches = (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled())
    fills = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    threads, benchmark = torch.get_num_threads(), torch.backends.cudnn.benchmark
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        try:
            prepare_torch()
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(switches[0], warn_only=switches[1])
            torch.utils.deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]
            torch.backends.cudnn.benchmark = benchmark
