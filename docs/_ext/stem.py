"""The first layer of a trained network, for pictures of feature maps: that of the small network of ``featmix compare``."""

from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F  # noqa: N812

from featmix.compare import SmallResNet, render

EPOCHS, BATCH = 2, 64


@cache
def trained() -> nn.Module:
    """The stem, after some epochs on digits in colour. It is a convolution, so it takes images of any size."""
    data = load_digits()
    grey = np.kron(data.images * 255 / 16, np.ones((2, 2))).astype(np.uint8)
    images = torch.from_numpy(render(grey, "colors", np.arange(len(grey)))) / 255
    labels = torch.from_numpy(data.target)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tensors this small gain nothing from more
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = SmallResNet(10)
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(images)).split(BATCH):
                loss = F.cross_entropy(network(images[rows]), labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    torch.set_num_threads(threads)
    return network.eval().stem


def features(images: torch.Tensor) -> torch.Tensor:
    """What the stem gives for images in [0, 1], without the outermost positions, which padding has touched."""
    stem = trained()
    with torch.no_grad():
        return stem(images)[..., 1:-1, 1:-1]


def telling_channel(x: torch.Tensor) -> int:
    """The channel that varies most from position to position."""
    return int(x.var((2, 3)).mean(0).argmax())
