"""Peak memory.

The most that is allocated at once during a call beyond what was there before, by torch's profiler, in sizes of the input: 1
is the result alone. MoEx and MixStyle on 32×64×56×56, Mixup and CutMix on 32×3×224×224, against the published formulas, and
every strategy of the registry on 32×64×56×56 against its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch.profiler import ProfilerActivity, profile

import featmix as fm
from benchmarks.formulas import Layer, duels, own, there_and_back
from benchmarks.results import Row
from benchmarks.timing import Stopwatch

HIDDEN, IMAGES = (32, 64, 56, 56), (32, 3, 224, 224)


def rows(watch: Stopwatch) -> Iterator[Row]:
    """Against the published formulas, then against each strategy's own."""
    hidden, images = ((4, *shape[1:]) if watch.quick else shape for shape in (HIDDEN, IMAGES))
    for shape, chosen in ((hidden, ("moex pono", "moex in", "mixstyle")), (images, ("mixup", "cutmix"))):
        for duel in duels(shape, labels_too=True):
            if duel.name in chosen:
                yield _row(duel.name, "published", shape, duel.formula, duel.featmix)
    for name in fm.list_strategies():
        yield _row(name, "own", hidden, *own(name, hidden))


def _row(name: str, which: str, shape: tuple[int, ...], formula: Layer, featmix: Layer) -> Row:
    x, weight = torch.randn(shape), torch.randn(shape)
    size, values = x.numel() * x.element_size(), {}
    for who, layer in (("featmix", featmix), ("formula", formula)):
        values[f"{who}: forward"] = peak(lambda layer=layer: layer(x)) / size
        values[f"{who}: with backward"] = peak(there_and_back(layer, x, weight)) / size
    return Row({"strategy": name, "formula": which, "shape": "×".join(map(str, shape))}, values)


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
