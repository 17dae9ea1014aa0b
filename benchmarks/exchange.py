"""MoEx and MixStyle against their published formula, in one run: ``python benchmarks/exchange.py``.

Prints medians as ratios: how many times faster than the formula, and how many times the cost of ``x.clone()``. Run it on a
quiet machine.
"""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.benchmark import Timer

import featmix as fm

SHAPES = ((128, 64, 32, 32), (64, 64, 56, 56), (16, 256, 56, 56), (256, 16, 32, 32))


def moex(x: Tensor, partner: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The op of the MoEx authors: normalize, then restore with the partner's moments."""
    mean, std = x.mean(dims, keepdim=True), x.var(dims, keepdim=True).add(1e-5).sqrt()
    return (x - mean) / std * std[partner] + mean[partner]


def mixstyle(x: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    """The layer of the MixStyle authors."""
    mean, std = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True).add(1e-6).sqrt()
    mean, std = mean.detach(), std.detach()
    normed = (x - mean) / std
    return normed * (lam * std + (1 - lam) * std[partner]) + lam * mean + (1 - lam) * mean[partner]


def cases(shape: tuple[int, ...]) -> dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]]:
    """The formula and featmix's strategy with the same decision, by name."""
    found: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {}
    for norm, dims in {"pono": (1,), "in": (2, 3)}.items():
        ours = fm.create("moex", norm=norm)
        params = ours.make_params(shape)
        found[f"moex {norm}"] = (
            lambda x, p=params, d=dims: moex(x, p.partner, d),
            lambda x, s=ours, p=params: s.transform(x, p),
        )
    ours = fm.create("mixstyle", p=1.0)
    params = ours.make_params(shape)
    found["mixstyle"] = (
        lambda x, p=params: mixstyle(x, p.partner, p.strength(x)),
        lambda x, s=ours, p=params: s.transform(x, p),
    )
    return found


def seconds(run: Callable[[], object]) -> float:
    """Median of about two seconds of runs, with as many threads as there are cores."""
    return float(Timer("run()", globals={"run": run}, num_threads=os.cpu_count() or 1).blocked_autorange(min_run_time=2).median)


def main() -> None:
    """Measure and print."""
    console = Console()
    table = Table("shape", "strategy", "forward: x formula", "clones", "with backward: x formula", "clones", box=None)
    ratios: list[tuple[float, float]] = []
    for shape in SHAPES:
        x = torch.randn(shape)
        leaf, weight = x.clone().requires_grad_(), torch.randn(shape)
        clone = seconds(x.clone)
        for name, (formula, ours) in cases(shape).items():
            if not torch.allclose(formula(x), ours(x), atol=1e-4, rtol=1e-4):
                raise SystemExit(f"{name} {shape}: featmix and the formula disagree")
            forward = [seconds(lambda f=f, x=x: f(x)) for f in (formula, ours)]
            both = [seconds(lambda f=f, z=leaf, w=weight: f(z).backward(w)) for f in (formula, ours)]
            ratios.append((forward[0] / forward[1], both[0] / both[1]))
            cells = (ratios[-1][0], forward[1] / clone, ratios[-1][1], both[1] / clone)
            table.add_row("x".join(map(str, shape)), name, *(f"{value:.1f}" for value in cells))
    means = [math.exp(sum(map(math.log, column)) / len(ratios)) for column in zip(*ratios, strict=True)]
    table.add_row("geometric mean", "", f"{means[0]:.1f}", "", f"{means[1]:.1f}", "")
    console.print(table)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    console.print(f"featmix {fm.__version__}, torch {torch.__version__}, {machine}, float32")


if __name__ == "__main__":
    main()
