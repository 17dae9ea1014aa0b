"""How axes become loops: nothing here needs Triton."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from featmix.kernels.gpu.plan import TILE, grid, plan
from featmix.normalizers.kinds import normalizer

NORMS = ["pono", "in", "ln", "gn2", "gn-d2", "gpono2", "gpono-d2"]
LAYOUTS = {
    "bchw": (3, 4, 5, 6),
    "bhwc": (3, 5, 6, 4),
    "bnc": (3, 5, 4),
    "bct": (3, 4, 5),
    "bcdhw": (3, 4, 2, 5, 6),
    "bc": (3, 4),
}


def offsets(loops):
    """Where each element of each group lies, by the group's place among the moments."""
    found = {}
    for i in range(loops.outer[0].size):
        for j in range(loops.outer[1].size):
            for k in range(loops.inner.size):
                axes = (*loops.outer, loops.inner)
                at = sum(n * axis.stride for n, axis in zip((i, j, k), axes, strict=True))
                to = sum(n * axis.small for n, axis in zip((i, j, k), axes, strict=True))
                slow, fast = loops.reduced
                found[to] = {at + r * slow.stride + s * fast.stride for r in range(slow.size) for s in range(fast.size)}
    return found


def expected(x, dims):
    lies = torch.arange(x.untyped_storage().nbytes() // 4).as_strided(x.shape, x.stride())
    kept = [d for d in range(x.ndim) if d not in dims]
    flat = lies.permute(*kept, *dims).reshape(
        -1, max(1, x.numel() // max(1, len(lies.permute(*kept, *dims).flatten(0, len(kept) - 1))))
    )
    return {i: set(row.tolist()) for i, row in enumerate(flat)}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
def test_every_element_lies_where_it_is_looked_for(name, layout, last):
    norm, x = normalizer(name, layout=layout), torch.empty(LAYOUTS[layout])
    if last and layout == "bchw":
        x = x.contiguous(memory_format=torch.channels_last)
    if last and layout == "bcdhw":
        x = x.contiguous(memory_format=torch.channels_last_3d)
    view, dims = norm.view(x), norm.reduced(x.shape)
    loops = plan(view, dims)
    assert loops is not None
    assert offsets(loops) == expected(view, dims)


@given(
    st.lists(st.integers(1, 600), min_size=2, max_size=4),
    st.sets(st.integers(1, 3), min_size=1),
)
def test_tiles_cover_all_and_stay_small(shape, dims):
    x = torch.empty(shape, device="meta")
    dims = tuple(d for d in dims if d < x.ndim) or (1,)
    loops = plan(x, dims)
    assert loops.width * loops.depth <= TILE
    assert loops.splits * loops.share >= loops.elements
    assert (loops.splits - 1) * loops.share < loops.elements  # no program is without work
    assert loops.columns * loops.width >= loops.outer[0].size * loops.outer[1].size * loops.inner.size


def test_few_groups_are_shared_and_many_are_not():
    assert plan(torch.empty(8, 256, 56, 56, device="meta"), (1, 2, 3)).splits > 32
    assert plan(torch.empty(64, 64, 56, 56, device="meta"), (2, 3)).splits == 1


def test_neighbours_in_memory_are_neighbours_in_a_tile():
    across = plan(torch.empty(64, 64, 56, 56, device="meta"), (1,))
    along = plan(torch.empty(64, 64, 56, 56, device="meta"), (2, 3))
    assert across.inner.stride == 1
    assert across.width == 128
    assert along.reduced[1].stride == 1
    assert along.depth == 4096


def test_axes_too_many_apart_have_no_plan():
    assert plan(torch.empty(2, 3, 4, 5, 6, 7).permute(0, 2, 4, 1, 3, 5), (3, 4, 5)) is None


@pytest.mark.parametrize("steps", [1, 65535, 65536, 200_001])
def test_a_grid_fits_a_device_and_covers_all_steps(steps):
    columns, line, layers = grid(7, steps)
    assert columns == 7
    assert max(line, layers) < 1 << 16  # the limit of CUDA for all axes but the first
    assert steps <= line * layers < steps + layers


def test_offsets_are_wide_before_a_tile_can_wrap_around():
    assert not plan(torch.empty(2, 1 << 29, device="meta"), (1,)).wide
    assert plan(torch.empty((1 << 31) - 1, 1, device="meta"), (1,)).wide
