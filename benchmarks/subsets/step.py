"""A whole training step, with and without.

Forward, loss, backward and SGD of the small residual network of ``featmix compare`` on 32 images of 3×32×32, with each
strategy attached, and of timm's resnet18 on 32 images of 3×64×64 with some. Steps with and without take turns one by one; the
extra time is the median of the ratios of neighbours, with a 95 % interval by the bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy.stats import bootstrap
from torch import nn
from torch.nn import functional as F  # noqa: N812

import featmix as fm
from benchmarks import peers
from benchmarks.results import Row
from benchmarks.timing import Stopwatch, timing
from featmix.compare.network import SmallResNet

SOME = ("moex", "mixstyle", "mixup", "cutmix")
missing: list[str] = []


def rows(watch: Stopwatch) -> Iterator[Row]:
    """Each network with each of its strategies."""
    number = 3 if watch.quick else 20
    for name in SOME if watch.quick else fm.list_strategies():
        yield _row("small residual network", _small, name, (32, 3, 32, 32), number)
    try:
        peers.torchvision_v2()  # timm's layers import it
        from timm import create_model
    except ImportError as error:
        missing.append(f"timm: {error}")
        return
    for name in () if watch.quick else SOME:
        yield _row("timm resnet18", lambda: create_model("resnet18", num_classes=10), name, (32, 3, 64, 64), 40)


def _small() -> nn.Module:
    return SmallResNet(10, width=16)


def _row(network: str, make: Callable[[], nn.Module], name: str, shape: tuple[int, ...], number: int) -> Row:
    images, labels = torch.randn(shape), torch.randint(10, shape[:1])
    strategy = fm.create(name, p=1.0)
    site = "input" if strategy.tags.mixes_labels and not strategy.tags.moments else "stem"
    without, with_it = make().train(), make().train()
    mixer = fm.attach(with_it, {site: strategy}, example=images, seed=0)
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.01) for model in (without, with_it)]

    def plain() -> None:
        optimizers[0].zero_grad()
        F.cross_entropy(without(images), labels).backward()
        optimizers[0].step()

    def mixed() -> None:
        optimizers[1].zero_grad()
        mix = mixer.draw(images, target=labels)
        mix.loss(F.cross_entropy, with_it(images), labels).backward()
        optimizers[1].step()

    before, after = Stopwatch().pairs(plain, mixed, number)
    ratios = 100 * (np.asarray(after) / np.asarray(before) - 1)
    spread = bootstrap((ratios,), np.median, rng=np.random.default_rng(0)).confidence_interval
    values = {"extra time, %": float(np.median(ratios)), "from": float(spread.low), "to": float(spread.high)}
    return Row({"network": network, "strategy": name, "site": site}, values, {"without": timing(before), "with": timing(after)})
