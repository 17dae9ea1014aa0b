"""Masks on their way to the sites."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm

X = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0))
REAL = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]]).bool()


class Reader(nn.Module):
    """Embeds tokens behind a class token; its head reads that one."""

    def __init__(self):
        super().__init__()
        self.embed, self.block, self.head = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.block(self.embed(x))[:, 0])


def test_a_mixer_hands_the_mask_to_the_sites():
    model, y = Reader(), torch.tensor([0, 1, 2])
    mixer = fm.attach(model, {"block": fm.MoEx("in", num_prefix_tokens=1)}, seed=0)
    seen = []
    model.head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    mix = mixer.draw(X, target=y, mask=REAL)
    mix.loss(F.cross_entropy, model(X), y).backward()
    assert torch.equal(seen[0], model.block(model.embed(X))[:, 0])  # the class token is left alone
    assert torch.equal(mix.params["block"].mask, REAL[:, 1:])
    mix = mixer.draw(X, target=y, mask={"block": REAL})
    assert torch.equal(mix.params["block"].mask, REAL[:, 1:])
    mixer.discard()
    with pytest.raises(fm.FeatmixError, match="Did you mean 'block'"):
        mixer.draw(X, target=y, mask={"blok": REAL})
    mixer.draw(X, target=y, mask=REAL[:, :4])  # what the features look like there is not known yet
    with pytest.raises(fm.FeatmixError, match=r"mask: expected shape \(3, 5\)"):
        model(X)
