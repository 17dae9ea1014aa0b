"""Mixup and CutMix against their formula and other libraries, in one run: ``python benchmarks/mixing.py``.

Prints medians as multiples of ``x.clone()``, for a batch of 128 x 3 x 224 x 224 in float32, and how often each was measured.
A call draws, mixes, and mixes class indices; ``transform`` is featmix's mixing alone. Others are measured where they are
installed: kornia, torchvision (whose compiled operators, where its wheel is for another build of torch, are declared without
an implementation: mixing calls none), and timm, which mixes in place and so writes no new memory. Run it on a quiet machine.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.benchmark import Measurement, Timer

import featmix as fm

SHAPE, CLASSES = (128, 3, 224, 224), 1000
THREADS = os.cpu_count() or 1
Call = Callable[[], object]


def by_formula(strategy: fm.Strategy, x: Tensor, y: Tensor) -> Call:
    """What the authors' code does, for the same kinds of draws."""

    def mixup() -> object:
        lam, partner = torch.distributions.Beta(1.0, 1.0).sample(), torch.randperm(len(x))
        return lam * x + (1 - lam) * x[partner], y, y[partner], lam

    def cutmix() -> object:
        lam, partner = float(torch.distributions.Beta(1.0, 1.0).sample()), torch.randperm(len(x))
        params = fm.CutMix().make_params(x.shape)
        (top, bottom), (left, right) = params.box[0].tolist()
        z = x.clone()
        z[:, :, top:bottom, left:right] = x[partner, :, top:bottom, left:right]
        return z, y, y[partner], lam

    return mixup if isinstance(strategy, fm.Mixup) else cutmix


def others(name: str, x: Tensor, y: Tensor) -> Iterator[tuple[str, Call]]:
    """The same by other libraries, where they are installed."""
    try:
        import kornia.augmentation as kornia

        keys = {"p": 1.0, "data_keys": ["input", "class"]}
        found = kornia.RandomMixUpV2(**keys) if name == "mixup" else kornia.RandomCutMixV2(**keys, use_correct_lambda=True)
        yield "kornia", lambda: found(x, y)
    except ImportError:
        pass
    try:
        v2 = _torchvision()
        transform = {"mixup": v2.MixUp, "cutmix": v2.CutMix}[name](num_classes=CLASSES)
        yield "torchvision", lambda: transform(x, y)
    except ImportError:
        return
    try:
        from timm.data import Mixup

        alphas = {"mixup_alpha": 1.0, "cutmix_alpha": 0.0} if name == "mixup" else {"mixup_alpha": 0.0, "cutmix_alpha": 1.0}
        mixer, mine = Mixup(**alphas, num_classes=CLASSES, label_smoothing=0.0), x.clone()
        yield "timm, in place", lambda: mixer(mine, y)
    except ImportError:
        pass


def _torchvision() -> object:
    """Its transforms, from the environment or from the folder beside it."""
    aside = Path(sys.prefix) / "torchvision"
    if aside.is_dir():
        sys.path.append(str(aside))
    try:
        from torchvision.transforms import v2
    except RuntimeError:
        for module in [module for module in sys.modules if module.partition(".")[0] == "torchvision"]:
            del sys.modules[module]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(library)
        from torchvision.transforms import v2
    return v2


_kept: list[object] = []  # declarations live as long as the library object


def measured(call: Call) -> Measurement:
    """Some seconds of calls, with as many threads as there are cores."""
    return Timer("call()", globals={"call": call}, num_threads=THREADS).blocked_autorange(min_run_time=4)


def main() -> None:
    """Measure and print."""
    console = Console()
    x, y = torch.rand(SHAPE), torch.randint(CLASSES, SHAPE[:1])
    leaf, weight = x.clone().requires_grad_(), torch.rand(SHAPE)
    clone = measured(x.clone).median
    table = Table("what", "clones", "spread", "runs", box=None)
    for name in ("mixup", "cutmix"):
        strategy = fm.create(name, num_classes=CLASSES)
        params = strategy.make_params(SHAPE, generator=torch.Generator().manual_seed(0))
        calls: list[tuple[str, Call]] = [
            ("featmix", lambda s=strategy: s(x, y)),
            ("featmix, transform", lambda s=strategy, p=params: s.transform(x, p)),
            ("featmix, transform and backward", lambda s=strategy, p=params: s.transform(leaf, p).backward(weight)),
            ("formula", by_formula(strategy, x, y)),
            *others(name, x, y),
        ]
        for who, call in calls:
            found = measured(call)
            table.add_row(f"{name}: {who}", f"{found.median / clone:.2f}", f"{found.iqr / clone:.2f}", str(len(found.times)))
    console.print(table)
    names = ("featmix", "torch", "kornia", "torchvision", "timm")
    console.print(", ".join(f"{name} {_version(name)}" for name in names), highlight=False)
    console.print(
        f"a clone: {clone * 1e3:.1f} ms; {THREADS} threads; {platform.processor() or platform.machine()}", highlight=False
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
