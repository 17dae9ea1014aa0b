"""Across ranks.

What a step sends where partners come from all ranks, counted by the collectives that run: moments, and labels in the draw,
against the features that would go in their place and the gradients that go anyway. Then a training step of a small network
under DistributedDataParallel in processes on this machine, over loopback: MoEx with partners from all ranks against MoEx with
partners from the rank's own batch, the two in turns. Last, by the model of `featmix.across.cost`, what a site adds to a step on
a cluster of machines with eight H100 each; nothing of that is measured.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import distributed, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.parallel import DistributedDataParallel

import featmix as fm
from benchmarks.collectives import counted
from benchmarks.results import Row
from benchmarks.timing import THREADS, Stopwatch, timing
from featmix.across.cost import Network, largest, moment_bytes, step_seconds
from featmix.across.link import linked
from featmix.across.meeting import bytes_sent

ROWS, CHANNELS = 8, 64  # of each rank
RESNET50 = 25_557_032 * 2  # bytes of its gradients in bfloat16
_KIB = 1024
missing: list[str] = []


def rows(watch: Stopwatch) -> Iterator[Row]:
    """Bytes, times, and the model."""
    missing.clear()
    if not distributed.is_available() or not distributed.is_gloo_available():
        missing.append("processes: torch has no gloo here")
        return
    for ranks in (2,) if watch.quick else (1, 2, 4):
        found = _spawned(ranks, watch)
        if "bytes" in found:
            yield Row({"a rank sends": f"MoEx, norm=in, {ranks} processes"}, found["bytes"])
        times = found["times"]
        named = {"own batch": timing(times[0]), "all ranks": timing(times[1])}
        ratio = float(torch.tensor(times[1]).div(torch.tensor(times[0])).median())
        yield Row({"processes": str(ranks)}, {"all ranks: × own batch": ratio}, named)
    network = Network()
    for ranks in (8, 64, 256, 1024, 4096):
        more = step_seconds(network, ranks, ROWS, 256)
        gradients = network.all_reduce(ranks, RESNET50)
        values = {"µs more a site": 1e6 * more, "% of a step of 100 ms": 100 * more / 0.1}
        values |= {"µs of a draw, on the host": 1e6 * network.draw(ranks), "µs for gradients": 1e6 * gradients}
        yield Row({"GPUs, by the model": str(ranks)}, values)


def summary(found: list[Row]) -> dict[str, float]:
    """Up to how many GPUs all are gathered."""
    return {"across=True is all ranks up to": float(largest(Network(), 0.5e-3))}


def _spawned(ranks: int, watch: Stopwatch) -> dict[str, dict[str, float] | list[list[float]]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.pt"
        torch.multiprocessing.spawn(_process, (ranks, port, str(path), watch), nprocs=ranks)
        found: dict[str, dict[str, float] | list[list[float]]] = torch.load(path)
        return found


def _process(rank: int, ranks: int, port: int, path: str, watch: Stopwatch) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(max(1, THREADS // ranks))
    distributed.init_process_group("gloo", rank=rank, world_size=ranks)
    side, number = (8, 2) if watch.quick else (56, 60)
    x, y = torch.randn(ROWS, 3, side, side), torch.randint(10, (ROWS,))
    steps = [_Step(across, x, y) for across in (False, True)]
    found: dict[str, dict[str, float] | tuple[list[float], list[float]]] = {"times": watch.pairs(*steps, number)}
    link = linked("benchmark", True)
    if link is not None:
        before = bytes_sent(link)
        with counted() as sent:
            steps[1]()
        moments = float(sum(map(sum, sent.values())))
        found["bytes"] = {
            "KiB of moments": sum(sent["all_gather_into_tensor"]) / _KIB,
            "KiB of their gradients": (moments - sum(sent["all_gather_into_tensor"])) / _KIB,
            "KiB in the draw": (bytes_sent(link) - before) / _KIB,
            "KiB of features": ROWS * CHANNELS * side * side * 4 / _KIB,
            "KiB of gradients": sum(p.nbytes for p in steps[1].parameters) / _KIB,
        }
        assert sum(sent["all_gather_into_tensor"]) == moment_bytes(ROWS, CHANNELS)  # noqa: S101 - what the model counts with
    if rank == 0:
        torch.save(found, path)
    distributed.destroy_process_group()


class _Step:
    """One training step."""

    def __init__(self, across: bool, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.manual_seed(0)
        convolutions = (nn.Conv2d(3, CHANNELS, 3, padding=1), nn.ReLU(), nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.ReLU())
        network = nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, 10))
        self.parameters = list(network.parameters())
        self.model, self.x, self.y = DistributedDataParallel(network), x, y
        self.mixer = fm.attach(self.model, {"0": fm.MoEx("in", across=across)}, seed=0)

    def __call__(self) -> None:
        mix = self.mixer.draw(self.x, target=self.y)
        loss = mix.loss(F.cross_entropy, self.model(self.x), self.y)
        for parameter in self.parameters:
            parameter.grad = None
        torch.autograd.backward(loss)
