import re

import numpy as np
import pytest
import torch

from featmix.compare.network_check import checked_network
from featmix.compare.settings import Settings
from featmix.compare.sources import PhotoSource
from featmix.errors import FeatmixError

LABELS = np.arange(20) % 10
SOURCE = PhotoSource("x", tuple("0123456789"), ("d",), LABELS, "", np.zeros((20, 3, 16, 12), np.uint8), np.zeros(20, np.int64))


def check(name, **settings):
    return checked_network(Settings(model=f"tests.compare.nets:{name}", **settings), SOURCE)


def test_a_network_that_fits_is_made_and_nothing_else_changes():
    before = torch.get_rng_state()
    network = check("make")
    assert network.fc.out_features == 10
    assert all(one.grad is None for one in network.parameters())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("for_32_pixels", "a network that takes 4 images of 16 x 12 with 3 channels, got RuntimeError in training mode: mat1"),
        ("for_five_classes", "logits of shape (4, 10) from forward, in training mode, got torch.float32 of shape (4, 5)"),
        ("Pair", "in training mode, got tuple. Return the logits alone"),
        ("Frozen", "expected weights that can be trained, got none"),
        ("NotFinite", "finite logits in training mode"),
        ("Detached", "RuntimeError in the backward pass"),
        ("the_same_again", "expected a new network each time"),
        ("by_numpy", "initial weights that torch.manual_seed decides, got others at the same seed, such as 'fc.bias'"),
    ],
)
def test_what_cannot_be_compared_is_refused(name, said):
    with pytest.raises(FeatmixError, match=re.escape(said)):
        check(name)


def test_batch_norm_that_has_one_value_is_refused():
    tiny = PhotoSource("x", tuple("0123456789"), ("d",), LABELS, "", np.zeros((20, 3, 2, 2), np.uint8), np.zeros(20, np.int64))
    with pytest.raises(FeatmixError, match="Expected more than 1 value per channel when training"):
        checked_network(Settings(model="tests.compare.nets:OneVector"), tiny)
