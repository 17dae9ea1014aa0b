"""A small residual network with named sites."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812 - torch's own usage
from torch import Tensor, nn

from featmix.errors import FeatmixError, nearest
from featmix.spec import SEPARATOR, sites_of
from featmix.strategies.registry import strategy_class

HIDDEN_SITES = ("stem", "layer1", "layer2", "layer3")
SITES = ("input", *HIDDEN_SITES)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut, with batch norm: (B, C, H, W) to (B, D, H/stride, W/stride)."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != out_channels:
            projection = nn.Conv2d(channels, out_channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(y)).add_(self.shortcut(x)), inplace=True)


class SmallResNet(nn.Module):
    """Stem, three residual blocks, pooling and a linear head.

    Every stage is a submodule named in `HIDDEN_SITES`, so that `featmix.attach` can reach it.

    Args:
        num_classes: Number of logits.
        width: Channels of the stem; later stages have 1, 2 and 4 times as many.

    Example:
        >>> import torch
        >>> SmallResNet(10)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 10])
    """

    def __init__(self, num_classes: int, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.layer1 = ResidualBlock(width, width, 1)
        self.layer2 = ResidualBlock(width, 2 * width, 2)
        self.layer3 = ResidualBlock(2 * width, 4 * width, 2)
        self.head = nn.Linear(4 * width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of shape (B, num_classes) for images of shape (B, 3, H, W)."""
        x = self.layer3(self.layer2(self.layer1(self.stem(images))))
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def check_site(site: str, subject: str, *, any_site: bool = False) -> str:
    """Check that the network has a site, or several separated by bars, and return them.

    Args:
        site: Name of the site.
        subject: Name of the command, for messages.
        any_site: Whether it is a site of another network, which is not checked here.

    Raises:
        FeatmixError: If there is no such site, or one is named twice; the message names the nearest.

    Example:
        >>> check_site("stem", "compare"), check_site("input|layer1", "compare")
        ('stem', 'input|layer1')
    """
    parts = sites_of(site)
    for part in parts:
        if part not in SITES and not any_site:
            raise FeatmixError(subject, "site", expected="a site of the network", got=repr(part), fix=nearest(part, SITES))
    if len(set(parts)) < len(parts):
        raise FeatmixError(subject, "site", expected="each site once", got=repr(site))
    return site


def site_of_another(error: FeatmixError, subject: str, file: str, fix: str = "") -> FeatmixError:
    """Return an error about a site with the hint that its file was made for another model; other errors as they are.

    Args:
        error: The error that attaching to the network raised.
        subject: Name of the command, for messages.
        file: The file, or its name.
        fix: Another possible fix.
    """
    if (error.subject, error.argument) != ("attach", "site"):
        return error
    return FeatmixError(
        subject,
        "site",
        expected=f"a site of the network that the command brings: {', '.join(SITES)}",
        got=f"{error.got} in {file}",
        fix="The file is for another model. Save it once more with the names of the layers here that are like those, such as "
        f"fm.Pipeline(..., mix={{'stem': strategy}}) for an early one.{fix}",
    )


def usual_site(name: str) -> str:
    """Return the usual site of a strategy in the network: the input, the first hidden site, or one of the first three.

    Example:
        >>> usual_site("mixup"), usual_site("moex"), usual_site("manifold-mixup")
        ('input', 'stem', 'input|stem|layer1')
    """
    usual = {"hidden": HIDDEN_SITES[0], "one of several": SEPARATOR.join(SITES[:3])}
    return usual.get(strategy_class(name).tags.default_site, "input")
