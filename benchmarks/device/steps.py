"""A training step with a strategy, and without, in blocks that take turns."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import bootstrap
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import featmix as fm
from benchmarks import formulas, peers
from benchmarks.device.clock import Clock
from benchmarks.results import Row
from benchmarks.timing import timing

GROUP = "step"
FORMULA = "the formula of moex in a hook at maxpool"
STRATEGIES: dict[str, Callable[[], Mapping[str, fm.Strategy]]] = {
    "moex at maxpool": lambda: {"maxpool": fm.MoEx("pono")},
    "mixstyle at layer1 and layer2": lambda: {site: fm.MixStyle(p=1.0) for site in ("layer1", "layer2")},
    "cutmix at the input and moex at maxpool": lambda: {"input": fm.CutMix(), "maxpool": fm.MoEx("pono")},
    "mixup at the input": lambda: {"input": fm.Mixup()},
}
ORDER = ("moex at maxpool", FORMULA, *(what for what in STRATEGIES if what != "moex at maxpool"))


@dataclass(frozen=True)
class Training:
    """What is trained, and for how long.

    Args:
        network: Its name.
        classes: How many.
        shape: Of a batch of images.
        clock: Of the device.
        blocks: With a strategy; as many, and one more, without.
        steps: In a block.
    """

    network: str
    classes: int
    shape: tuple[int, ...]
    clock: Clock
    blocks: int = 10
    steps: int = 8

    def row(self, what: str, *, compiled: bool = False) -> Iterator[Row]:
        """The extra time of a step: blocks with a strategy, each divided by the mean of the two blocks without around it."""
        images = torch.randn(self.shape, device=self.clock.device).contiguous(memory_format=torch.channels_last)
        labels = torch.randint(self.classes, self.shape[:1], device=self.clock.device)
        bare, mixed = (_Step(self._network(), images, labels) for _ in range(2))
        (mixed.by_formula if what == FORMULA else mixed.attach)(STRATEGIES.get(what, dict)())
        if compiled:
            torch._dynamo.reset()
            for each in (bare, mixed):
                each.compile(backend="inductor" if self.clock.device.type == "cuda" else "eager")
        for each in (bare, mixed):
            self._block(each)  # warms up
        before, after = [self._block(bare)], []
        for _ in range(self.blocks):
            after.append(self._block(mixed))
            before.append(self._block(bare))
        around = (np.asarray(before[:-1]) + np.asarray(before[1:])) / 2
        extra = 100 * (np.asarray(after) / around - 1)
        spread = bootstrap((extra,), np.median, method="percentile", rng=np.random.default_rng(0)).confidence_interval
        alone, found = timing(before), timing(after)
        values = {
            "alone, ms": 1e3 * alone.median,
            "with it, ms": 1e3 * found.median,
            "extra time, %": float(np.median(extra)),
            "from": float(spread.low),
            "to": float(spread.high),
        }
        labels_of = {GROUP: self.network, "mode": "compiled" if compiled else "eager", "with": what}
        yield Row(labels_of, values, {"alone": alone, "with it": found})

    def _network(self) -> nn.Module:
        made = _resnet50(self.classes) if self.network == "resnet50" else _small(self.classes)
        return made.to(self.clock.device, memory_format=torch.channels_last).train()

    def _block(self, step: _Step) -> float:
        self.clock.settle()
        start = time.perf_counter()
        for _ in range(self.steps):
            step()
        self.clock.settle()
        return (time.perf_counter() - start) / self.steps


class _Step:
    """Forward in bfloat16 by autocast, loss, backward, SGD."""

    def __init__(self, network: nn.Module, images: Tensor, labels: Tensor) -> None:
        self.network, self.images, self.labels = network, images, labels
        self.optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
        self.forward: Callable[[Tensor], Tensor] = network
        self.loss: Callable[[], Tensor] = self._plain

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        self.loss().backward()
        self.optimizer.step()

    def attach(self, tree: Mapping[str, fm.Strategy]) -> None:
        mixer = fm.attach(self.network, tree, example=self.images[:2], seed=0)

        def mixed() -> Tensor:
            mix = mixer.draw(self.images, target=self.labels)
            return mix.loss(F.cross_entropy, self._output(), self.labels)

        self.loss = mixed

    def by_formula(self, _: object) -> None:
        """As one writes it by hand: partners drawn on the device in the hook, both labels in the loss."""
        partner = torch.empty(0)

        def hook(_: nn.Module, __: object, output: Tensor) -> Tensor:
            nonlocal partner
            partner = torch.randperm(len(output), device=output.device)
            return formulas.moex(output, partner, (1,))

        self.network.get_submodule("maxpool").register_forward_hook(hook)

        def mixed() -> Tensor:
            output = self._output()
            return 0.9 * F.cross_entropy(output, self.labels) + 0.1 * F.cross_entropy(output, self.labels[partner])

        self.loss = mixed

    def compile(self, backend: str) -> None:
        of = type(self.network)  # a class of its own: the compiler must not take one network for the other
        self.network.__class__ = type(f"{of.__name__}OfAStep", (of,), {})
        self.forward = torch.compile(self.network, backend=backend)

    def _plain(self) -> Tensor:
        return F.cross_entropy(self._output(), self.labels)

    def _output(self) -> Tensor:
        with torch.autocast(self.images.device.type, torch.bfloat16):
            output = self.forward(self.images)
        return output.float()


def _resnet50(classes: int) -> nn.Module:
    peers.torchvision_v2()  # timm's layers import it
    from timm import create_model

    return create_model("resnet50", num_classes=classes)


def _small(classes: int) -> nn.Module:
    """For rehearsals: the names of a residual network's sites, and little else."""
    layers = {
        "conv1": nn.Conv2d(3, 4, 3, padding=1),
        "maxpool": nn.MaxPool2d(2),
        "layer1": nn.Conv2d(4, 4, 3, padding=1),
        "layer2": nn.Conv2d(4, 8, 3, padding=1),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flat": nn.Flatten(),
        "fc": nn.Linear(8, classes),
    }
    return nn.Sequential(OrderedDict(layers))
