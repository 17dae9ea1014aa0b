"""Across ranks.

What a step sends where partners come from all ranks, counted by the collectives that run: moments, and labels in the draw,
against the features that would go in their place and the gradients that go anyway. Then a training step under
DistributedDataParallel in processes on this machine, over loopback, of timm's resnet18 on 8 images of 3×64×64 a process, and of
two convolutions on 8 of 3×56×56: MoEx with partners from all ranks against MoEx with partners from the rank's own batch, the
two in turns. Where processes are more than cores they wait for each other's turn at each exchange, three times a step, which a
longer step feels less. Last, by the model of `featmix.across.cost`, what a site adds to a step on
a cluster of machines with eight H100 each; nothing of that is measured.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from math import prod
from pathlib import Path

import torch
from torch import distributed, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.parallel import DistributedDataParallel

import featmix as fm
from benchmarks import peers
from benchmarks.collectives import counted
from benchmarks.results import Row
from benchmarks.timing import THREADS, Stopwatch, timing
from featmix.across.cost import Network, largest, moment_bytes, step_seconds
from featmix.across.link import linked
from featmix.across.meeting import bytes_sent

ROWS, CHANNELS = 8, 64  # of each rank, at the site
_NETWORKS = ("two convolutions", "timm resnet18")
RESNET50 = 25_557_032 * 2  # bytes of its gradients in bfloat16
_KIB = 1024
missing: list[str] = []


def rows(watch: Stopwatch) -> Iterator[Row]:
    """Bytes, times, and the model."""
    missing.clear()
    if not distributed.is_available() or not distributed.is_gloo_available():
        missing.append("processes: torch has no gloo here")
        return
    try:
        peers.torchvision_v2()  # timm's layers import it
        import timm  # noqa: F401
    except ImportError as error:
        missing.append(f"timm: {error}")
    networks = _NETWORKS[: 1 if watch.quick or missing else None]
    for network in networks:
        for ranks in (2,) if watch.quick else (1, 2, 4):
            found = _spawned(ranks, network, watch)
            if "bytes" in found:
                yield Row({"a rank sends": f"{network}, MoEx, norm=in, {ranks} processes"}, found["bytes"])
            times = found["times"]
            named = {"own batch": timing(times[0]), "all ranks": timing(times[1])}
            ratio = float(torch.tensor(times[1]).div(torch.tensor(times[0])).median())
            yield Row({"network": network, "processes": str(ranks)}, {"all ranks: × own batch": ratio}, named)
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


def _spawned(ranks: int, network: str, watch: Stopwatch) -> dict[str, dict[str, float] | list[list[float]]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.pt"
        torch.multiprocessing.spawn(_process, (ranks, port, str(path), network, watch), nprocs=ranks)
        found: dict[str, dict[str, float] | list[list[float]]] = torch.load(path)
        return found


def _process(rank: int, ranks: int, port: int, path: str, network: str, watch: Stopwatch) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(max(1, THREADS // ranks))
    distributed.init_process_group("gloo", rank=rank, world_size=ranks)
    side = 8 if watch.quick else 56 if network == _NETWORKS[0] else 64
    x, y = torch.randn(ROWS, 3, side, side), torch.randint(10, (ROWS,))
    steps = [_Step(across, network, x, y) for across in (False, True)]
    found: dict[str, dict[str, float] | tuple[list[float], list[float]]] = {
        "times": watch.pairs(*steps, 2 if watch.quick else 60)
    }
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
            "KiB of features": steps[1].features / _KIB,
            "KiB of gradients": sum(p.nbytes for p in steps[1].parameters) / _KIB,
        }
        assert sum(sent["all_gather_into_tensor"]) == moment_bytes(ROWS, CHANNELS)  # noqa: S101 - what the model counts with
    if rank == 0:
        torch.save(found, path)
    distributed.destroy_process_group()


class _Step:
    """One training step."""

    def __init__(self, across: bool, network: str, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.manual_seed(0)
        made, site = _made(network)
        self.parameters = list(made.parameters())
        self.model, self.x, self.y = DistributedDataParallel(made), x, y
        self.mixer = fm.attach(self.model, {site: fm.MoEx("in", across=across)}, example=x, seed=0)
        self.features = ROWS * prod(self.mixer.shapes[site]) * 4  # bytes

    def __call__(self) -> None:
        mix = self.mixer.draw(self.x, target=self.y)
        loss = mix.loss(F.cross_entropy, self.model(self.x), self.y)
        for parameter in self.parameters:
            parameter.grad = None
        torch.autograd.backward(loss)


def _made(network: str) -> tuple[nn.Module, str]:
    """Return a network and the site in it, of 64 channels."""
    if network == _NETWORKS[0]:
        convolutions = (nn.Conv2d(3, CHANNELS, 3, padding=1), nn.ReLU(), nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.ReLU())
        return nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, 10)), "0"
    peers.torchvision_v2()
    from timm import create_model

    return create_model(network.removeprefix("timm "), num_classes=10), "layer1"
