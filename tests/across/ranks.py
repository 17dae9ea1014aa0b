"""Four gloo processes, spawned once for all tests of this folder: each makes all cases and leaves what it found in a file."""

import os
import socket
from datetime import timedelta
from importlib import import_module

import torch
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

import featmix as fm
from tests.across.networks import CLASSES, Net, data, gradients, loss_of, of_one_process, part_of

RANKS = 4
CASES = {}
MODULES = ("law_cases", "meeting_cases")  # in this order: the last cases end the group


def case(function):
    CASES[function.__name__] = function
    return function


def spawn(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(process, (port, str(folder)), nprocs=RANKS)


def process(rank, port, folder):
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(RANKS), "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    os.environ["MASTER_PORT"] = str(port)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=RANKS, timeout=timedelta(seconds=120))
    for module in MODULES:
        import_module(f"tests.across.{module}")
    found = {}
    for name, function in CASES.items():
        try:
            found[name] = function(rank) if name != "restarted" else function(rank, folder)
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
            raise
    torch.save(found, f"{folder}/found_{rank}.pt")
    dist.destroy_process_group()


def wrapped(model, kind, group=None):
    if kind == "fsdp2":
        from torch.distributed.fsdp import fully_shard

        fully_shard(model.block)
        return fully_shard(model)
    return DistributedDataParallel(model, process_group=group)


def compared(
    tree, rank, *, sizes=(2,) * RANKS, kind="ddp", dtype=torch.float64, steps=1, group=None, first=0, given=None, **settings
):
    """The largest differences from one process: of outputs, of averaged gradients, of soft labels; and where partners were."""
    x, y = data(sum(sizes), dtype)
    given = {} if given is None else given
    own, count = part_of(sizes, rank), len(sizes)
    whole, one = of_one_process(tree(False), x, first)
    model = Net(dtype, **settings)
    called = wrapped(model, kind, group)
    mixer = fm.attach(called, tree(True if group is None else group), example=x[:2], seed=3)
    apart, labels, remote = 0.0, 0.0, False
    for _ in range(steps):
        mix = one.draw(x, target=y, **given)
        expected = whole(x)
        loss_of(mix, expected, y).backward()
        part = mixer.draw(x[own], target=y[own], **{name: value[own] for name, value in given.items()})
        output = called(x[own])
        (loss_of(part, output, y[own]) * (sizes[rank] * count / sum(sizes))).backward()
        if sizes[rank]:
            apart = max(apart, float((output - expected[own]).detach().abs().max()))
            soft = part.dense(y[own], CLASSES) - mix.dense(y, CLASSES)[own]
            labels = max(labels, float(soft.abs().max()))
            remote |= any(bool((p.partner >= sizes[rank]).any()) for p in part.params.values())
    off = float((gradients(model) - gradients(whole)).abs().max())
    return {"outputs": apart, "gradients": off, "labels": labels, "remote": remote}


STRATEGIES = {
    "moex": lambda across: {"stem": fm.MoEx("pono", lam=0.7, across=across)},
    "moex in": lambda across: {"stem": fm.MoEx("in", lam=0.7, across=across)},
    "mixstyle": lambda across: {"stem": fm.MixStyle(p=1.0, across=across)},
    "padain": lambda across: {"stem": fm.PAdaIN(p=1.0, across=across)},
    "crossnorm": lambda across: {"stem": fm.CrossNorm(p=1.0, across=across)},
    "dsu": lambda across: {"stem": fm.DSU(p=1.0, across=across)},
    "csu": lambda across: {"stem": fm.CorrelatedStyleUncertainty(p=1.0, across=across)},
}
