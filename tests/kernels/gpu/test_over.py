"""Means over named axes by the way of Triton: on a GPU, or in its interpreter on the CPU."""

import dataclasses

import pytest
import torch

import featmix as fm
from featmix.kernels import dispatch
from featmix.strategies.base import Strategy
from tests.kernels.gpu.devices import DEVICE

pytest.importorskip("triton", reason="triton is not installed: make test-triton has it")

SIZES = {"b": 5, "c": 4, "f": 6, "t": 8, "h": 3, "w": 5, "x": 2, "y": 3, "z": 2}
CASES = [  # and whether the kernels take it
    ("over:ct", "bcft", True),
    ("over:f", "bcft", True),
    ("over:ct", "btfc", True),
    ("over:hw", "btchw", True),
    ("over:tc", "bthwc", True),
    ("over:cyz", "bcxyfz", False),
]


@pytest.mark.parametrize("method", [fm.MoEx, fm.MixStyle, fm.CrossNorm, fm.DSU])
@pytest.mark.parametrize(("norm", "layout", "taken"), CASES)
def test_result_and_gradient_are_as_near_to_float64_as_the_formula(method, norm, layout, taken, monkeypatch):
    monkeypatch.setenv("FEATMIX_KERNELS", "triton")
    strategy = method(norm, layout=layout, p=1.0)
    x = torch.randn([SIZES[letter] for letter in layout], generator=torch.Generator().manual_seed(1)).to(DEVICE)
    dims = strategy.normalizer.reduced(x.shape)
    assert (dispatch.exchange_kernels(x, dims) is not None) == (dispatch.moment_kernels(x, dims) is not None) == taken
    params = strategy.make_params(x.shape, generator=torch.Generator().manual_seed(2)).to(DEVICE)
    active = params.active & torch.tensor([True, True, False, True, True], device=DEVICE)
    params = dataclasses.replace(params, active=active)
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(3)).half().to(x)

    def fast(z):
        return strategy.transform(z, params)

    def formula(z):
        return Strategy.gated(strategy, z, params.tied())

    def gradient(function, z):
        leaf = z.clone().requires_grad_()
        (function(leaf) * weight).sum().backward()
        return leaf.grad

    assert torch.equal(fast(x)[~active], x[~active])
    for measure in (lambda function, z: function(z), gradient):
        exact = measure(formula, x.double())
        off, allowed = (measure(function, x).double().sub(exact).abs().max() for function in (fast, formula))
        assert off <= 2 * allowed + 4 * torch.finfo(x.dtype).eps * exact.abs().max()
