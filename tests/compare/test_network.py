import pytest
import torch

from featmix.compare.network import HIDDEN_SITES, SITES, SmallResNet, check_site
from featmix.errors import FeatmixError


def test_every_site_is_a_module_of_the_network():
    names = dict(SmallResNet(10).named_modules())
    assert set(HIDDEN_SITES) <= set(names)
    assert ("input", *HIDDEN_SITES) == SITES


@pytest.mark.parametrize("size", [(16, 16), (28, 28), (9, 13)])
def test_logits_and_gradients(size):
    network = SmallResNet(7, width=4)
    logits = network(torch.randn(3, 3, *size))
    assert logits.shape == (3, 7)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_misspelt_site_names_the_nearest():
    with pytest.raises(FeatmixError, match="'layer1'"):
        check_site("layr1", "compare")
