"""Names of the places that papers act at, by rule: torchvision's and timm's for ResNets, the authors' for other networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from featmix.mixer.tree import At, Compose
from featmix.strategies.registry import create

STAGES = ("layer1", "layer2", "layer3", "layer4")
SIX = ("conv1", "maxpool", *STAGES)  # of DSU and CSU: after the first convolution, the pooling and the four stages
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
CONVS = {"resnet18": 2, "resnet50": 3, "resnet101": 3}  # in each block


def everywhere(sites: Iterable[str], name: str, **settings: Any) -> Compose:
    """A strategy of its own at each site, all with the same settings."""
    return Compose([At(site, create(name, **settings)) for site in sites])


def resnet_blocks(network: str) -> list[str]:
    """The blocks of a ResNet, in order.

    Example:
        >>> len(resnet_blocks("resnet50")), resnet_blocks("resnet50")[3]
        (16, 'layer2.0')
    """
    return [f"{stage}.{k}" for stage, count in zip(STAGES, BLOCKS[network], strict=True) for k in range(count)]


def main_path_convs(network: str, *, stem: bool) -> list[str]:
    """The convolutions of a ResNet that are not in a shortcut, in order, with that of the stem or without.

    Example:
        >>> len(main_path_convs("resnet50", stem=True)), main_path_convs("resnet18", stem=False)[:3]
        (49, ['layer1.0.conv1', 'layer1.0.conv2', 'layer1.1.conv1'])
    """
    inside = [f"{block}.conv{k + 1}" for block in resnet_blocks(network) for k in range(CONVS[network])]
    return ["conv1"] * stem + inside


def wide_resnet_blocks(depth: int, stages: Sequence[str] = ("block1", "block2", "block3")) -> list[str]:
    """The blocks of a WideResNet for CIFAR.

    Example:
        >>> len(wide_resnet_blocks(40)), wide_resnet_blocks(40)[0]
        (18, 'block1.layer.0')
    """
    return [f"{stage}.layer.{k}" for stage in stages for k in range((depth - 4) // 6)]


def dense_layer_inputs(depth: int) -> list[str]:
    """Return the modules whose outputs the dense layers of a DenseNet for CIFAR without bottlenecks read.

    Example:
        >>> len(dense_layer_inputs(40)), dense_layer_inputs(40)[:2], dense_layer_inputs(40)[-1]
        (36, ['conv1', 'dense1.0'], 'dense3.10')
    """
    count, before = (depth - 4) // 3, ("conv1", "trans1", "trans2")
    return [first if k == 0 else f"dense{stage}.{k - 1}" for stage, first in enumerate(before, start=1) for k in range(count)]
