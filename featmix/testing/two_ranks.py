"""The host on two gloo ranks under DistributedDataParallel: two threads of this process, each with a group of its own."""

from __future__ import annotations

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import HashStore, Store
from torch.nn import functional as F  # noqa: N812
from torch.nn.parallel import DistributedDataParallel

from featmix.mixer.attach import attach
from featmix.seeding import derived
from featmix.strategies.base import Strategy
from featmix.testing.host import SITE, Host, batch, gradients, host
from featmix.testing.law import CannotRunError

_STEPS = 3
_BATCH = 8
_PATIENCE = timedelta(seconds=20)  # for a rank whose other one broke down


def gradients_on_two_ranks(strategy: Strategy) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Train three steps on each of two ranks, each with a copy of the strategy.

    Returns:
        For each rank the gradients under DDP, the gradients of the same decisions without DDP, and all that was drawn.

    Raises:
        CannotRunError: If there is no gloo here, or it has no network to talk over, or the strategy cannot be copied.
    """
    try:
        store, copies = HashStore(), [copy.deepcopy(strategy) for _ in range(2)]
    except Exception as error:
        raise CannotRunError(f"it needs gloo and copies of the strategy: {type(error).__name__}: {error}") from error
    for one in copies:
        if "p" in one.setting_names():
            one.p = 1.0  # decisions that leave all as it is are alike
    turn = threading.RLock()  # there is one global generator, and one compiler: what touches them goes one after the other
    errors: list[Exception] = []  # the first one says what is wrong, another one only that its rank waited

    def train(rank: int) -> tuple[Tensor, Tensor, Tensor]:
        try:
            return _rank(rank, copies[rank], store, turn)
        except Exception as error:
            errors.append(error)
            raise

    with ThreadPoolExecutor(2, "featmix-rank") as threads:
        ranks = [threads.submit(train, rank) for rank in range(2)]
    if errors:
        raise errors[0]
    together, alone, drawn = zip(*(rank.result() for rank in ranks), strict=True)
    return list(together), list(alone), list(drawn)


def _group(rank: int, store: Store) -> dist.ProcessGroup:
    """A group that DDP takes, and that nobody else in the process knows of."""
    try:
        group = dist.ProcessGroup(store, rank, 2)
        gloo = dist.ProcessGroupGloo(store, rank, 2, _PATIENCE)
        gloo._set_sequence_number_for_group()
        group._register_backend(torch.device("cpu"), dist.ProcessGroup.BackendType.GLOO, gloo)
        group._set_default_backend(dist.ProcessGroup.BackendType.GLOO)
    except Exception as error:
        raise CannotRunError(f"it needs two gloo ranks, which do not start here: {type(error).__name__}: {error}") from error
    return group


def _rank(rank: int, strategy: Strategy, store: Store, turn: threading.RLock) -> tuple[Tensor, Tensor, Tensor]:
    group = _group(rank, store)
    x, y = batch(strategy, _BATCH, seed=rank)
    found, drawn = [], []
    for wrapped in (True, False):
        model = _host(strategy, turn)
        called: nn.Module = DistributedDataParallel(model, process_group=group) if wrapped else model
        with turn:  # its dry run has no gradients, and no buffers, that DDP would send to the other rank
            mixer = attach(called, {SITE: strategy}, example=x, seed=derived(0, rank))
        for _ in range(_STEPS):
            with turn:
                mix = mixer.draw(x, target=y)
            torch.autograd.backward(mix.loss(F.cross_entropy, called(x), y))
            drawn += [t.double().flatten() for t in mix.params[SITE].per_row().values()]
        found.append(gradients(model))
    return found[0], found[1], torch.cat(drawn)


def _host(strategy: Strategy, turn: threading.RLock) -> Host:
    """A host that runs while it has its turn; DDP talks to the other rank before and after."""
    with turn:
        model = host(strategy)

    def take(*_: object) -> None:
        turn.acquire()

    def give(*_: object) -> None:
        turn.release()

    model.register_forward_pre_hook(take)
    model.register_forward_hook(give, always_call=True)
    return model
