"""The host on two gloo ranks under DistributedDataParallel."""

from __future__ import annotations

import tempfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import timedelta
from functools import cache

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.nn.parallel import DistributedDataParallel

from featmix.mixer.attach import attach
from featmix.strategies.base import Strategy
from featmix.testing.host import SITE, batch, gradients, host

_STEPS = 3
_BATCH = 8
_PATIENCE = timedelta(minutes=1)  # for a rank whose other one broke down


def gradients_on_two_ranks(strategy: Strategy) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Train three steps on each of two ranks.

    Returns:
        For each rank the gradients under DDP, the gradients of the same decisions without DDP, and all that was drawn.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            ranks = [_processes().submit(_rank, rank, strategy, folder) for rank in range(2)]
            together, alone, drawn = zip(*(rank.result() for rank in ranks), strict=True)
        except BrokenProcessPool:
            _processes.cache_clear()
            raise
    return list(together), list(alone), list(drawn)


@cache
def _processes() -> ProcessPoolExecutor:
    """Two processes that stay: to start them takes seconds, and each strategy needs them once."""
    return ProcessPoolExecutor(2, mp_context=torch.multiprocessing.get_context("spawn"))


def _rank(rank: int, strategy: Strategy, folder: str) -> tuple[Tensor, Tensor, Tensor]:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2, timeout=_PATIENCE)
    try:
        x, y = batch(strategy, _BATCH, seed=rank)
        found, drawn = [], []
        for wrapped in (True, False):
            model = host(strategy)
            called = DistributedDataParallel(model) if wrapped else model
            mixer = attach(called, {SITE: strategy}, example=x, seed=0)
            for _ in range(_STEPS):
                mix = mixer.draw(x, target=y)
                torch.autograd.backward(mix.loss(F.cross_entropy, called(x), y))
                drawn += [t.double().flatten() for t in mix.params[SITE].per_row().values()]
            found.append(gradients(model))
        return found[0], found[1], torch.cat(drawn)
    finally:
        dist.destroy_process_group()
