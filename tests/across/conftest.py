import os

import pytest
import torch
from filelock import FileLock  # which torch needs itself

from tests.across.ranks import RANKS, spawn


@pytest.fixture(scope="session")
def found(tmp_path_factory):
    """What each of four processes found, by case; they are spawned once, for all workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "ranks"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            spawn(folder)
    return [torch.load(folder / f"found_{rank}.pt", weights_only=False) for rank in range(RANKS)]
