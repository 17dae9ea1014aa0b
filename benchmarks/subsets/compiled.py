"""Against the compiled formula.

The published formulas under ``torch.compile`` with its default backend, which writes and compiles C++ for the CPU, against
featmix as it is, and featmix compiled too, as part of a compiled model, on 64×64×56×56. Compiling takes place before the clock
starts.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.formulas import duels, there_and_back
from benchmarks.results import Row
from benchmarks.timing import Stopwatch

missing: list[str] = []


def rows(watch: Stopwatch) -> Iterator[Row]:
    """Each strategy that changes moments."""
    shape = (4, 8, 8, 8) if watch.quick else (64, 64, 56, 56)
    x, weight = torch.randn(shape), torch.randn(shape)
    for duel in duels(shape)[:1] if watch.quick else duels(shape):
        torch._dynamo.reset()
        backend = "eager" if watch.quick else "inductor"
        compiled, ours = torch.compile(duel.plain, backend=backend), torch.compile(duel.featmix, backend=backend)

        def by_compiler(z: torch.Tensor, f: object = compiled, decision: tuple[object, ...] = duel.decision) -> torch.Tensor:
            return f(z, *decision)

        try:
            by_compiler(x)
            ours(x)
        except RuntimeError as error:  # no C++ compiler, or none that it knows
            missing.append(f"torch.compile: {str(error).splitlines()[0]}")
            return
        found = watch.race(
            {
                "compiled formula": lambda f=by_compiler: f(x),
                "featmix": lambda d=duel: d.featmix(x),
                "compiled featmix": lambda f=ours: f(x),
                "compiled formula and backward": there_and_back(by_compiler, x, weight),
                "featmix and backward": there_and_back(duel.featmix, x, weight),
            }
        )
        seconds = {who: each.median for who, each in found.items()}
        values = {
            "forward: × compiled": seconds["compiled formula"] / seconds["featmix"],
            "forward, both compiled: × compiled": seconds["compiled formula"] / seconds["compiled featmix"],
            "with backward: × compiled": seconds["compiled formula and backward"] / seconds["featmix and backward"],
        }
        yield Row({"strategy": duel.name}, values, found)
