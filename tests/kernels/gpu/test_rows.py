"""The kernels for rows against the formula, in Triton's interpreter or on a GPU."""

import pytest
import torch

from tests.kernels.gpu.devices import DEVICE
from tests.kernels.gpu.formulas import features, like_rows, mixed_rows, takers

pytest.importorskip("triton", reason="triton is not installed: make test-triton has it")
kernels = pytest.importorskip("featmix.kernels.gpu.rows")

LAYOUTS = {  # shape, position axes, channel axis
    "bchw": ((5, 3, 6, 7), (2, 3), 1),
    "aligned": ((5, 8, 4, 8), (2, 3), 1),
    "bhwc": ((5, 6, 7, 3), (1, 2), 3),
    "bct": ((5, 3, 9), (2,), 1),
    "btc": ((5, 9, 3), (1,), 2),
    "bcdhw": ((5, 2, 3, 4, 5), (2, 3, 4), 1),
}
PARTNERS = [[1, 0, 3, 4, 2], [1, 2, 0, 0, 3], [3, 3, 3, 3, 3], [0, 1, 2, 3, 4], [1, 2, 2, 4, 0]]
FORMS = [(layout, last) for layout in LAYOUTS for last in ((False, True) if len(LAYOUTS[layout][0]) > 3 else (False,))]
KINDS = ["blend", "paste", "shrink", "select", "one mask", "soft", "blocks"]


def generator():
    return torch.Generator().manual_seed(2)


def boxes(shape, positions):
    """Boxes of any size, empty and full ones among them."""
    sizes = torch.tensor([shape[axis] for axis in positions])
    ends = (torch.rand(shape[0], len(positions), 2, generator=generator()) * (sizes + 1).view(1, -1, 1)).long().sort().values
    ends[0], ends[1] = torch.stack((torch.zeros_like(sizes), sizes), 1), 2
    return ends.to(DEVICE)


def within(box, shape, positions):
    """Which elements lie in the box of their row."""
    found = torch.ones(shape, dtype=torch.bool, device=DEVICE)
    for k, axis in enumerate(positions):
        place = torch.arange(shape[axis], device=DEVICE).view([-1 if d == axis else 1 for d in range(len(shape))])
        found &= (place >= like_rows(box[:, k, 0], found)) & (place < like_rows(box[:, k, 1], found))
    return found


def shrunk(x, box, positions):
    """Each row shrunk to its box, in its box; anything elsewhere."""
    for k, axis in enumerate(positions):
        size, first, past = x.shape[axis], box[:, k, :1], box[:, k, 1:]
        step = (torch.arange(size, device=DEVICE) - first) * size
        source = step.div((past - first).clamp(min=1), rounding_mode="floor").clamp(0, size - 1)
        x = x.gather(axis, source.view([len(x), *(-1 if d == axis else 1 for d in range(1, x.ndim))]).expand(x.shape))
    return x


def case(kind, layout, last, partner, dtype=torch.float32):
    """Features, rows, and the same rows as a function of features by ordinary operations."""
    shape, positions, channel = LAYOUTS[layout]
    x, partner = features(shape, dtype, last), torch.tensor(partner, device=DEVICE)
    lam, box = torch.rand(5, generator=generator()).to(DEVICE), boxes(shape, positions)
    taker, each = takers(partner), [1 if axis == channel else size for axis, size in enumerate(shape)]
    noise = torch.rand(shape, generator=generator()).to(DEVICE)
    share = {
        "select": noise[tuple(slice(n) for n in each)] > 0.5,
        "one mask": noise[tuple(slice(n) for n in (1, *each[1:]))] > 0.5,
        "soft": noise[tuple(slice(n) for n in each)].round(decimals=1),
        "blocks": noise[:1] > 0.5,
    }.get(kind)
    scale = lam if kind == "blocks" else None

    def formula(z):
        other = z[partner]
        if kind == "blend":
            mixed = like_rows(lam.to(z.dtype), z) * z + like_rows(1 - lam.to(z.dtype), z) * other
        elif share is None:
            taken = shrunk(other, box, positions) if kind == "shrink" else other
            mixed = torch.where(within(box, shape, positions), taken, z)
        else:
            part = share.to(z.dtype) if scale is None else share.to(z.dtype) * like_rows(scale.to(z.dtype), z)
            mixed = z + part * (other - z)
        return torch.where(mixed_rows(partner, z), mixed, z)

    if kind == "blend":
        return x, kernels.blend(x, partner, lam, taker), formula
    if share is None:
        return x, getattr(kernels, kind)(x, partner, box, positions, taker), formula
    return x, kernels.select(x, partner, share, taker, scale=scale), formula


def compare(x, rows, formula):
    """Result, gradient and format; what is not mixed comes out bit for bit."""
    leaf, g = x.double().requires_grad_(), features(x.shape, x.dtype, seed=3)
    exact = formula(leaf)
    exact.backward(g.double())
    y, back = rows.mixed(x), rows.returned(g, torch.empty_like(x, device="meta"))
    for found, right in ((y, exact), (back, leaf.grad)):
        assert found.dtype == x.dtype
        assert found.stride() == x.stride()
        assert (found.double() - right).abs().max() <= 4 * torch.finfo(x.dtype).eps * (1 + right.abs().max())
    untouched = exact.detach() == x
    assert torch.equal(y[untouched], x[untouched])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("layout", "last"), FORMS)
def test_all_layouts(kind, layout, last):
    compare(*case(kind, layout, last, PARTNERS[4]))


@pytest.mark.parametrize("partner", PARTNERS[:4], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_all_partners(kind, partner):
    compare(*case(kind, "bchw", False, partner))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_half_types(kind, dtype):
    for layout, last in (("aligned", False), ("aligned", True)):
        compare(*case(kind, layout, last, PARTNERS[0], dtype))


@pytest.mark.parametrize("partner", PARTNERS, ids=str)
@pytest.mark.parametrize("kind", ["blend", "paste", "shrink", "select"])
def test_in_place(kind, partner):
    for layout, last in (("bchw", False), ("bhwc", True)):
        x, rows, _ = case(kind, layout, last, partner)
        expected = rows.mixed(x)
        assert rows.mix_in_place(x) is x
        assert torch.equal(x, expected)


@pytest.mark.parametrize("kind", ["blend", "paste"])
def test_in_place_with_too_many_rows_for_one_program(kind, monkeypatch):
    monkeypatch.setattr(kernels, "_COLUMN", 16)
    kernels._in_place.cache_clear()
    x, rows, _ = case(kind, "bchw", False, PARTNERS[0])
    expected = rows.mixed(x)
    assert torch.equal(rows.mix_in_place(x), expected)
    kernels._in_place.cache_clear()


@pytest.mark.parametrize("kind", ["blend", "select"])
def test_what_is_not_finite_reaches_those_who_take_it_and_nobody_else(kind):
    x, rows, _ = case(kind, "bchw", False, [1, 0, 3, 4, 2])
    x[0] = float("nan")
    y = rows.mixed(x)
    assert y[1].isnan().any()
    assert y[2:].isfinite().all()


def test_the_same_gradient_twice_is_the_same():
    x, rows, _ = case("blend", "bchw", False, PARTNERS[2])
    like = torch.empty_like(x, device="meta")
    assert torch.equal(rows.returned(x, like), rows.returned(x, like))


def test_shares_and_partners_that_are_one_value_for_all():
    x = features((5, 3, 6, 7))
    lam, partner = torch.tensor([0.3], device=DEVICE), torch.tensor([3], device=DEVICE)
    expected = kernels.blend(x, partner.repeat(5), lam.repeat(5))
    found = kernels.blend(x, partner.expand(5), lam.expand(5))
    like = torch.empty_like(x, device="meta")
    assert torch.equal(found.mixed(x), expected.mixed(x))
    assert torch.equal(found.returned(x, like), expected.returned(x, like))


def test_a_mask_that_is_expanded_to_all_rows():
    x, partner = features((5, 3, 6, 7)), torch.tensor(PARTNERS[0], device=DEVICE)
    mask = torch.rand(1, 1, 6, 7, generator=generator()).to(DEVICE) > 0.5
    expected = torch.where(mask, x[partner], x)
    assert torch.equal(kernels.select(x, partner, mask.expand(5, 1, 6, 7)).mixed(x), expected)


def test_a_taker_is_found_where_none_is_named():
    x, partner = features((5, 3, 6, 7)), torch.tensor(PARTNERS[4], device=DEVICE)
    lam, like = torch.rand(5, generator=generator()).to(DEVICE), torch.empty_like(x, device="meta")
    named, unnamed = kernels.blend(x, partner, lam, takers(partner)), kernels.blend(x, partner, lam)
    assert torch.equal(named.returned(x, like), unnamed.returned(x, like))


def test_one_launch_serves_each_dtype_by_itself():
    """Half types are equally wide: what was compiled for one of them is not to be run for the other."""
    partner, lam = torch.tensor([1, 0], device=DEVICE), torch.tensor([0.25, 0.75], device=DEVICE)
    for dtype in (torch.bfloat16, torch.float16, torch.bfloat16):
        x = torch.randn(2, 3, 8, 8, device=DEVICE).to(dtype)
        expected = lam.view(-1, 1, 1, 1) * x.float() + (1 - lam.view(-1, 1, 1, 1)) * x.float().flip(0)
        torch.testing.assert_close(kernels.blend(x, partner, lam).mixed(x).float(), expected, rtol=1e-2, atol=1e-2)
