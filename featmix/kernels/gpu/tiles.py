"""How large the tiles of moment exchange are: few registers a thread, lines of memory that are read whole, programs enough."""

from __future__ import annotations

from dataclasses import dataclass

from featmix.kernels.gpu.loops import Loops, power_of_two


@dataclass(frozen=True)
class Tile:
    """What a program holds at a time.

    Args:
        width: Groups, a power of two.
        depth: Elements of each, a power of two; a group that is longer is read twice.
        warps: Of 32 threads each.
        stages: Tiles that are on their way from memory while one is worked on, and that one.
    """

    width: int
    depth: int
    warps: int
    stages: int = 1

    def constants(self, loops: Loops) -> tuple[int | bool, ...]:
        """Sizes, whether a group fits, and whether groups and elements divide evenly, in the order of the programs."""
        once = loops.elements <= self.depth
        even = loops.inner[0] % self.width == 0, loops.elements % self.depth == 0
        return self.width, self.depth, once, *even, self.stages


def forward_tile(loops: Loops, rows: int, width: int) -> Tile:
    """The tile for reading two rows and writing one, of elements that are ``width`` bytes wide."""
    return _tile(loops, rows, width, 4096)


def back_tile(loops: Loops, rows: int, width: int) -> Tile:
    """The tile for reading two rows and their gradients, and writing one."""
    return _tile(loops, rows, width, 4096)


def _tile(loops: Loops, rows: int, width: int, budget: int) -> Tile:
    elements, inner = power_of_two(loops.elements), power_of_two(loops.inner[0])
    if loops.across:
        w = max(1, min(inner, 128 // width // loops.bundle))
        depth = min(elements, max(budget // (w * loops.bundle), 16))
    else:
        depth = min(elements, budget)
        w = min(inner, max(1, budget // 2 // depth))
    size = w * loops.bundle * depth
    return Tile(w, depth, 4 if size <= 2048 else 8)
