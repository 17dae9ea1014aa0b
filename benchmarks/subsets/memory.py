"""Peak memory.

The most that is allocated at once during a call beyond what was there before, by torch's profiler, in sizes of the input: 1
is the result alone. MoEx and MixStyle on 32×64×56×56, Mixup and CutMix on 32×3×224×224, against the formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.formulas import duels, there_and_back
from benchmarks.results import Row
from benchmarks.timing import Stopwatch

HIDDEN, IMAGES = (32, 64, 56, 56), (32, 3, 224, 224)


def rows(watch: Stopwatch) -> Iterator[Row]:
    """Each strategy."""
    wanted = [(shape, duel) for shape in (HIDDEN, IMAGES) for duel in duels(shape, labels_too=True)]
    for shape, duel in wanted:
        if (shape == IMAGES) != (duel.name in ("mixup", "cutmix")):
            continue
        x = torch.randn((4, *shape[1:]) if watch.quick else shape)
        if len(x) != shape[0]:
            duel = next(each for each in duels(x.shape, labels_too=True) if each.name == duel.name)
        size, weight = x.numel() * x.element_size(), torch.randn(x.shape)
        values = {}
        for who, layer in (("featmix", duel.featmix), ("formula", duel.formula)):
            values[f"{who}: forward"] = peak(lambda f=layer, x=x: f(x)) / size
            values[f"{who}: with backward"] = peak(there_and_back(layer, x, weight)) / size
        yield Row({"strategy": duel.name, "shape": "×".join(map(str, x.shape))}, values)


def peak(call: Callable[[], object]) -> float:
    """Bytes that a call holds at most, beyond what was there before."""
    call()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most
