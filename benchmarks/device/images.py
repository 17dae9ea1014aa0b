"""Batches of images with labels, beside other libraries, in new memory and in place."""

from __future__ import annotations

from collections.abc import Iterator

import torch

import featmix as fm
from benchmarks import peers
from benchmarks.device.clock import Clock
from benchmarks.results import Row
from benchmarks.timing import Call

GROUP = "images"
NEW, SAME, CLASSES = "new memory", "in place", 1000


def rows(method: str, shape: tuple[int, ...], clock: Clock, missing: list[str]) -> Iterator[Row]:
    """``strategy(x, y)`` of one method."""
    x, y = torch.rand(shape, device=clock.device), torch.randint(CLASSES, shape[:1], device=clock.device)
    calls: dict[tuple[str, str], Call] = {("clone", NEW): x.clone}
    for where in (NEW, SAME):
        strategy, batch = fm.create(method, num_classes=CLASSES, inplace=where == SAME), x.clone()
        calls["featmix", where] = lambda strategy=strategy, batch=batch: strategy(batch, y)
    for who, where, make in (("torchvision", NEW, peers.torchvision), ("timm", SAME, peers.timm_in_place)):
        try:
            mixing = make(method, CLASSES)
        except ImportError as error:
            missing.append(f"{who}: {error}")
            continue
        batch = x.clone()
        calls[who, where] = lambda mixing=mixing, batch=batch: mixing(batch, y)
    paces = clock.race({" | ".join(key): call for key, call in calls.items()})
    clone = paces.pop(f"clone | {NEW}").wall
    for key, pace in paces.items():
        who, _, where = key.partition(" | ")
        labels = {GROUP: "×".join(map(str, shape)), "method": method, "who": who, "memory": where}
        values = {
            "µs": 1e6 * pace.wall.median,
            "µs on the host": 1e6 * pace.host.median,
            "clones": pace.wall.median / clone.median,
        }
        yield Row(labels, values, {who: pace.wall, f"{who}, host": pace.host, "clone": clone})
