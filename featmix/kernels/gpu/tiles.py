"""How large the tiles of moment exchange are.

The figures were chosen on an H100 among some ten of each kind, in half types and in float32. What they have in common: 16 to 32
elements a thread; lines of 128 bytes where neighbours in memory are groups; few warps that wait for one another; and loads that
are under way while a program computes where they are wide enough to go past the registers.
"""

from __future__ import annotations

from dataclasses import dataclass

from featmix.kernels.gpu.loops import Loops, power_of_two

_FEW = 132  # programs that leave much of a large device idle


@dataclass(frozen=True)
class Tile:
    """What a program holds at a time.

    Args:
        width: Groups, a power of two.
        depth: Elements of each of their lanes, a power of two; a group that is longer is read twice.
        warps: Of 32 threads each.
        stages: How many tiles are on their way from memory or worked on.
    """

    width: int
    depth: int
    warps: int
    stages: int = 1

    def constants(self, loops: Loops) -> tuple[int | bool, ...]:
        """Sizes, whether a group fits, whether groups and elements divide evenly, and stages, in the order of the programs."""
        once = loops.elements <= self.depth
        even = loops.inner[0] % self.width == 0, loops.elements % self.depth == 0
        return self.width, self.depth, once, *even, self.stages


def forward_tile(loops: Loops, rows: int, width: int) -> Tile:
    """The tile for reading two rows and writing one, of elements that are ``width`` bytes wide."""
    return _across(loops, rows, width, back=False) if loops.across else _along(loops, rows, width, back=False)


def back_tile(loops: Loops, rows: int, width: int) -> Tile:
    """The tile for reading two rows and their gradients, and writing one."""
    return _across(loops, rows, width, back=True) if loops.across else _along(loops, rows, width, back=True)


def search_tile(loops: Loops, rows: int, width: int) -> Tile:
    """The tile for backward where takers are searched for: small, since that takes registers of its own."""
    found = back_tile(loops, rows, width)
    if loops.across:
        return Tile(max(1, min(found.width, 32 // loops.bundle)), min(found.depth, 32), 4)
    return Tile(found.width, found.depth, 2) if found.depth <= 1024 else Tile(1, 2048, 8)


def _across(loops: Loops, rows: int, width: int, *, back: bool) -> Tile:
    """Neighbours in memory are lanes: the tile is wide, and groups that fit are held whole."""
    lanes, depth = power_of_two(loops.inner[0] * loops.bundle), power_of_two(loops.elements)
    aligned = loops.unit * width >= 8  # narrower loads are slower on their way past the registers
    streams = aligned and width == 2

    def tile(wide: int, deep: int, warps: int, stages: int = 1) -> Tile:
        return Tile(max(1, min(wide, lanes) // loops.bundle), min(deep, depth), warps, stages)

    if lanes <= 8 and depth > 64:  # a few channels side by side: the tile is deep instead
        return Tile(max(1, lanes // loops.bundle), (4096 if back else 8192) // lanes, 32)
    if depth <= 8:  # no more warps than cover the groups by vectors: others would share groups, and meet for every sum
        return tile(512, depth, width) if depth <= 4 else tile(256, depth, max(1, width // 2))
    if depth <= 64:
        return tile(min(128, 2048 // depth), 64, 2)
    if depth > 256 and rows * loops.outer[0] * -(-loops.inner[0] * loops.bundle // 64) < _FEW:
        return tile(32, 64, 4, 3 if aligned else 1) if back else tile(32, 256, 16)
    if loops.bundle > 1:
        return tile(128, 16, 4, 3 if streams and not back else 1)
    if width == 4 and depth <= 256:
        return tile(32, 256, 4)
    if depth > 512 and streams and not back:
        return tile(64, 64, 4, 3)
    return tile(64, 32, 4, 3 if streams else 1)


def _along(loops: Loops, rows: int, width: int, *, back: bool) -> Tile:
    """Neighbours in memory are elements of a group: the tile is deep, and groups that fit are held whole."""
    depth = power_of_two(loops.elements)
    if depth <= 1024:
        return Tile(min(max(1, 512 // depth), power_of_two(loops.inner[0])), depth, 1)
    if depth <= 4096:
        return Tile(1, depth, depth // 1024)
    if depth <= 16384:
        return Tile(1, 2048, 8) if width == 2 and not back else Tile(1, depth, depth // 1024)
    return Tile(1, 8192, 32) if rows * loops.groups < _FEW else Tile(1, 4096, 8)
