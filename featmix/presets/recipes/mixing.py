"""Presets of the methods that mix samples and labels: the Mixup family, boxes and masks, and PatchUp."""

from __future__ import annotations

from functools import partial
from typing import Any

from featmix.mixer.tree import At, OneOf, Tree
from featmix.presets.registry import recipe
from featmix.strategies.registry import create

MIXUP = "https://arxiv.org/abs/1710.09412"
MANIFOLD = "https://github.com/vikasverma1077/manifold_mixup"
CUTMIX = "https://github.com/clovaai/CutMix-PyTorch"
FMIX = "https://github.com/ecs-vlc/FMix"
RESIZEMIX = "https://github.com/JayQine/ResizeMix"
PATCHUP = "https://github.com/chandar-lab/PatchUp"


@recipe("mixup/cifar", source=f"{MIXUP}, on CIFAR-10 and CIFAR-100")
def _mixup_cifar() -> Tree:
    """Of the images, in every step."""
    return At("input", create("mixup", alpha=1.0))


@recipe("mixup/imagenet", source=f"{MIXUP}, which says 0.1 to 0.4")
def _mixup_imagenet() -> Tree:
    """Of the images, in every step; more than 0.4 underfits."""
    return At("input", create("mixup", alpha=0.2))


@recipe("manifold-mixup/cifar", source=f"{MANIFOLD}, supervised/README.md")
@recipe("manifold-mixup/svhn", source=f"{MANIFOLD}, supervised")
def _manifold_mixup() -> Tree:
    """At the input, after stage 1 or after stage 2, all equally often."""
    return OneOf([At(site, create("manifold-mixup", alpha=2.0)) for site in ("input", "layer1", "layer2")])


@recipe("manifold-mixup/tiny-imagenet", source=f"{MANIFOLD}, supervised")
def _manifold_mixup_tiny() -> Tree:
    """At the input, after stage 1 or after stage 2, all equally often."""
    return OneOf([At(site, create("manifold-mixup", alpha=0.2)) for site in ("input", "layer1", "layer2")])


@recipe("cutmix/cifar", source=f"{CUTMIX}, README.md")
def _cutmix_cifar() -> Tree:
    """In half of the steps."""
    return At("input", create("cutmix", alpha=1.0, p=0.5))


@recipe("cutmix/imagenet", source=f"{CUTMIX}, README.md")
def _cutmix_imagenet() -> Tree:
    """In every step."""
    return At("input", create("cutmix", alpha=1.0, p=1.0))


@recipe("fmix/cifar", source=f"{FMIX}, experiments/cifar_experiment.sh and the defaults of trainer.py")
@recipe("fmix/imagenet", source=f"{FMIX}, experiments/imagenet_experiment.sh and the defaults of trainer.py")
def _fmix() -> Tree:
    """Masks of low frequencies, decay 3, in every step."""
    return At("input", create("fmix", alpha=1.0))


@recipe("resizemix/cifar", source=f"{RESIZEMIX}, configs/cifar100_wrs.py")
@recipe("resizemix/imagenet", source=f"{RESIZEMIX}, configs/imagenet_res.py")
def _resizemix() -> Tree:
    """The partner shrunk to 0.1 to 0.8 of its sides, in every step."""
    return At("input", create("resizemix"))


@recipe("patchup-soft/cifar", source=f"{PATCHUP}, README.md and models/preresnet.py")
def _patchup_soft() -> Tree:
    """PreAct ResNets: of the images (by CutMix), after the first convolution or after stage 1, all equally often."""
    return _patchup(mode="soft", gamma=0.75, p=1.0)


@recipe("patchup-hard/cifar", source=f"{PATCHUP}, README.md and models/preresnet.py")
def _patchup_hard() -> Tree:
    """PreAct ResNets: of the images (by CutMix), after the first convolution or after stage 1, in 70 % of the steps."""
    return _patchup(mode="hard", gamma=0.5, p=0.7)


@recipe("patchup-soft/cifar-wrn28-10", source=f"{PATCHUP}, README.md and models/wide_resnet.py")
def _patchup_soft_wide() -> Tree:
    """Wide ResNet: as ``patchup-soft/cifar``, but for labels at the input, which its code weighs ``(1 + u, 1 - u)``."""
    return _patchup(mode="soft", gamma=0.75, p=1.0, third_term="own")


@recipe("patchup-hard/cifar-wrn28-10", source=f"{PATCHUP}, README.md and models/wide_resnet.py")
def _patchup_hard_wide() -> Tree:
    """Wide ResNet: as ``patchup-hard/cifar``, but for labels at the input, which its code weighs ``(1 + u, 1 - u)``."""
    return _patchup(mode="hard", gamma=0.5, p=0.7, third_term="own")


def _patchup(**settings: Any) -> Tree:
    patchup = partial(create, "patchup", block_size=7, alpha=2.0, **settings)
    return OneOf([At(site, patchup().at_input() if site == "input" else patchup()) for site in ("input", "conv1", "layer1")])
