import pytest
import torch

from tests.across.ranks import RANKS, spawn


@pytest.fixture(scope="session")
def found(tmp_path_factory):
    """What each of four processes found, by case."""
    folder = tmp_path_factory.mktemp("ranks")
    spawn(folder)
    return [torch.load(folder / f"found_{rank}.pt", weights_only=False) for rank in range(RANKS)]
