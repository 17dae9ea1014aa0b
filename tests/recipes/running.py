"""The recipes of ``examples/recipes``, loaded as their program loads them, with what they need from elsewhere."""

import os
import sys
from pathlib import Path

import pytest
from torch import nn

import featmix as fm
from featmix.mixer.mix import Mix
from featmix.pipeline import PipelineMixer
from tests.interop.real_torchvision import torchvision_or_skip

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
FOLDER = Path(__file__).parents[2] / "examples" / "recipes"
sys.path.insert(0, str(FOLDER))
try:
    import run
finally:
    sys.path.remove(str(FOLDER))

NAMES = list(run.USES)
NEEDS = {"torchvision_imagenet": (), "timm_train": ("timm",)}  # torchvision, and what needs it


def load(name, folder=FOLDER):
    """A recipe; skips where a library that it is about is not there."""
    if name in NEEDS:
        torchvision_or_skip("torchvision.transforms.v2")
        for library in NEEDS[name]:
            pytest.importorskip(library)
    return run.load(name, folder)


class Recorder(nn.Module):
    """A network that keeps what it is given in training, and what it gives."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.given, self.outputs = inner, [], []
        if hasattr(inner, "layer1"):
            self.layer1 = inner.layer1

    def forward(self, x):
        self.given.append(x.detach().clone())
        y = self.inner(x)
        self.outputs.append(y.detach().clone())
        return y


def reseeded(recipe, seed):
    """A recipe's pipeline with another seed."""
    made = recipe.pipeline()
    return fm.Pipeline(sample=made.sample, batch=made.batch, normalize=made.normalize, mix=made.mix, seed=seed)


def recorded(name, items, *, seed=0):
    """The first step of a recipe's own loop: what the network got and gave, the decision, and the targets.

    Returns:
        The network, the decisions, and the targets that losses were asked for.
    """
    recipe, model = load(name), Recorder(run.network(name))
    mixes, targets = [], []
    draw, loss = PipelineMixer.draw, Mix.loss

    def drawn(self, *args, **settings):
        mixes.append(draw(self, *args, **settings))
        return mixes[-1]

    def asked(self, criterion, output, target):
        targets.append(target)
        return loss(self, criterion, output, target)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PipelineMixer, "draw", drawn)
        patched.setattr(Mix, "loss", asked)
        recipe.train(reseeded(recipe, seed), items, model)
    return model, mixes, targets
