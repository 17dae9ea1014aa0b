"""How groups lie in memory, and torch's kernels for those that are rows."""

import pytest
import torch

from featmix.kernels import blocks, native
from featmix.kernels.groups import groups_of


@pytest.mark.parametrize(
    ("dims", "last", "shape"),
    [
        ((2, 3), False, (6, 20)),
        ((1,), False, (2, 3, 20)),
        ((1, 2, 3), False, (2, 60)),
        ((2, 3), True, (2, 20, 3)),
        ((1,), True, (40, 3)),
        ((1, 2, 3), True, (2, 60)),
    ],
)
def test_neighbours_in_memory_are_merged(dims, last, shape):
    x = torch.randn(2, 3, 4, 5)
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    groups = groups_of(x, dims)
    assert groups.shape == shape
    assert groups.merged(x).data_ptr() == x.data_ptr()
    mean = groups.merged(x).mean(groups.dims, keepdim=True)
    assert torch.allclose(groups.small_again(mean), x.mean(dims, keepdim=True), atol=1e-6)
    assert torch.equal(groups.merged_small(groups.small_again(mean)), mean)


def test_groups_of_channels_in_another_order_of_memory():
    x = torch.randn(2, 6, 4, 5).contiguous(memory_format=torch.channels_last).view(2, 3, 2, 4, 5)
    for dims in ((2,), (2, 3, 4)):
        groups = groups_of(x, dims)
        mean = groups.merged(x).mean(groups.dims, keepdim=True)
        assert torch.allclose(groups.small_again(mean), x.mean(dims, keepdim=True), atol=1e-6)
        assert torch.equal(groups.merged_small(groups.small_again(mean)), mean)


@pytest.mark.parametrize("n", [64, 8192, 8193, 3 * 8191, 1 << 17])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_rows_by_kernels_of_normalization_layers(n, dtype):
    x, g = (torch.randn(4, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 3 for seed in (0, 1))
    x, g = x.to(dtype), g.to(dtype)
    exact, upstream = x.double(), g.double()
    near = {"rtol": 1e-12 if dtype == torch.float64 else 2e-5, "atol": 1e-5 if dtype != torch.float64 else 1e-9}
    mean, std = native.moments(iter([(x[:3],), (x[3:],)]), divisor=n - 1, eps=1e-5)
    assert mean.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(mean.double(), exact.mean(1, keepdim=True), **near)
    torch.testing.assert_close(std.double(), exact.var(1, keepdim=True).add(1e-5).sqrt(), **near)
    total, against = native.sums(g, x, mean)
    torch.testing.assert_close(total.double(), upstream.sum(1, keepdim=True), **near)
    centred = upstream * (exact - mean.double())
    off = (against.double() - centred.sum(1, keepdim=True)).abs()
    assert (off <= (1e-12 if dtype == torch.float64 else 1e-5) * centred.abs().sum(1, keepdim=True)).all()


@pytest.mark.parametrize("offset", [1e2, 1e4])
def test_the_variance_survives_a_mean_far_larger_than_it(offset):
    x = torch.randn(16, 8, 32, 32, generator=torch.Generator().manual_seed(0)) + offset
    assert native.takes(groups_of(x, (2, 3)), x)
    _, std = blocks.moments(x, (2, 3), eps=1e-5, unbiased=True)
    exact = x.double().var((2, 3), keepdim=True).add(1e-5).sqrt()
    assert ((std / exact - 1).abs() < 1e-7 * offset).all()
