"""The host on two gloo ranks under DistributedDataParallel."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from torch.nn import functional as F  # noqa: N812
from torch.nn.parallel import DistributedDataParallel

from featmix.attach import attach
from featmix.strategy import Strategy
from featmix.testing.host import SITE, batch, gradients, host

_STEPS = 3
_BATCH = 8


def gradients_on_two_ranks(strategy: Strategy) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Train three steps on each of two ranks.

    Returns:
        For each rank the gradients under DDP, the gradients of the same decisions without DDP, and the partners drawn.
    """
    with tempfile.TemporaryDirectory() as folder:
        spawn(_rank, args=(strategy, folder), nprocs=2)  # type: ignore[no-untyped-call]
        results = [torch.load(Path(folder) / f"{rank}.pt") for rank in range(2)]
    return [r["together"] for r in results], [r["alone"] for r in results], [r["partners"] for r in results]


def _rank(rank: int, strategy: Strategy, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    try:
        x, y = batch(strategy, _BATCH, seed=rank)
        found, partners = [], []
        for wrapped in (True, False):
            model = host(strategy)
            called = DistributedDataParallel(model) if wrapped else model
            mixer = attach(called, {SITE: strategy}, example=x, seed=0)
            for _ in range(_STEPS):
                mix = mixer.draw(x, target=y)
                torch.autograd.backward(mix.loss(F.cross_entropy, called(x), y))
                partners.append(mix.params[SITE].partner)
            found.append(gradients(model))
        torch.save({"together": found[0], "alone": found[1], "partners": torch.cat(partners)}, Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
