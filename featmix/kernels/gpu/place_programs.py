"""Where the elements of a block's vectors lie: in which box, and under which place of a mask.

Vectors are so short that they never leave a line of the axis ``ALONG`` whose positions are neighbours in memory; along all
other axes, all of a vector lies at one position. ``s`` and ``n`` are strides and sizes of up to three position axes.
"""

# mypy: ignore-errors
# (it is Triton's language, not Python's)
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def position(first, s, n, V: tl.constexpr, ALONG: tl.constexpr):
    """Along one axis, of the vectors ``(N, 1)`` or of all their elements ``(N, V)``."""
    c = ((first // s) % n)[:, None]
    if ALONG:
        c = c + tl.arange(0, V)[None, :]
    return c


@triton.jit
def between(box, c):
    """Whether positions lie between the two ends of a box along an axis."""
    return (c >= tl.load(box).to(tl.int32)) & (c < tl.load(box + 1).to(tl.int32))


@triton.jit
def inside(box, first, s0, n0, s1, n1, s2, n2, V: tl.constexpr, AXES: tl.constexpr, ALONG: tl.constexpr):
    """Whether elements lie in a box, ``(N, V)``, or ``(N, 1)`` where all of a vector lies at one position."""
    found = between(box, position(first, s0, n0, V, ALONG == 0))
    if AXES > 1:
        found = found & between(box + 2, position(first, s1, n1, V, ALONG == 1))
    if AXES > 2:
        found = found & between(box + 4, position(first, s2, n2, V, ALONG == 2))
    return found


@triton.jit
def step_to_source(box, c, s, n):
    """How far it is from positions in a box to those that they show of a map shrunk to the box: the nearest ones."""
    begin = tl.load(box).to(tl.int32)
    length = tl.maximum(tl.load(box + 1).to(tl.int32) - begin, 1)
    return ((c - begin) * n // length - c) * s


@triton.jit
def source(box, first, s0, n0, s1, n1, s2, n2, V: tl.constexpr, AXES: tl.constexpr, ALONG: tl.constexpr):
    """How far it is from elements in a box to what they show of a sample shrunk to it."""
    found = step_to_source(box, position(first, s0, n0, V, ALONG == 0), s0, n0)
    if AXES > 1:
        found = found + step_to_source(box + 2, position(first, s1, n1, V, ALONG == 1), s1, n1)
    if AXES > 2:
        found = found + step_to_source(box + 4, position(first, s2, n2, V, ALONG == 2), s2, n2)
    return found


@triton.jit
def step_to_shown(box, c, s, n):
    """How far it is from positions to where a box shows them, and whether it does: it passes over some, and repeats none."""
    begin = tl.load(box).to(tl.int32)
    length = tl.load(box + 1).to(tl.int32) - begin
    shown = (c * length + n - 1) // n
    return (shown + begin - c) * s, (shown < length) & (shown * n // tl.maximum(length, 1) == c)


@triton.jit
def wanted(box, first, s0, n0, s1, n1, s2, n2, V: tl.constexpr, AXES: tl.constexpr, ALONG: tl.constexpr):
    """How far it is from elements to where a box shows them, and whether it does."""
    found, shown = step_to_shown(box, position(first, s0, n0, V, ALONG == 0), s0, n0)
    if AXES > 1:
        more, too = step_to_shown(box + 2, position(first, s1, n1, V, ALONG == 1), s1, n1)
        found, shown = found + more, shown & too
    if AXES > 2:
        more, too = step_to_shown(box + 4, position(first, s2, n2, V, ALONG == 2), s2, n2)
        found, shown = found + more, shown & too
    return found, shown


@triton.jit
def shared(share, scale, i, j, first, real, apart, step, period, V: tl.constexpr, ALONG: tl.constexpr):
    """A partner's share of elements of row ``i``, in float32; none where the partner ``j`` is the row itself."""
    place = ((first // step) % period)[:, None]
    if ALONG:
        part = tl.load(share + i * apart + place + tl.arange(0, V)[None, :], mask=real, other=0).to(tl.float32)
    else:
        part = tl.load(share + i * apart + place).to(tl.float32) + tl.zeros([1, V], tl.float32)
    if scale is not None:
        part = part * tl.load(scale + i)
    return tl.where(i == j, 0.0, part)
