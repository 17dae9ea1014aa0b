"""Strategies by the way of Triton: on a GPU, or in its interpreter on the CPU."""

import dataclasses

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import featmix as fm
from featmix.kernels import dispatch
from featmix.strategies.base import Strategy
from featmix.testing import parametrize_with_checks
from tests.kernels.gpu.devices import DEVICE

pytest.importorskip("triton", reason="triton is not installed: make test-triton has it")
launch = pytest.importorskip("featmix.kernels.gpu.launch")

MOVERS = [fm.MoEx(norm) for norm in ("pono", "in", "ln", "gn2", "gpono2")]
OTHERS = [fm.MixStyle(p=1.0), fm.PAdaIN(p=1.0), fm.CrossNorm(p=1.0), fm.DSU(p=1.0)]
MIXERS = [fm.Mixup(lam_per="sample"), fm.CutMix(lam_per="sample"), fm.FMix(), fm.ResizeMix(), fm.PatchUp()]
TRIED = [*MOVERS, *OTHERS, *MIXERS]


@pytest.fixture(autouse=True)
def taken(monkeypatch):
    """The kernels' way, and how often it was taken."""
    seen, path_for = [], dispatch.path_for

    def noted(x):
        path = path_for(x)
        seen.extend([x.shape] * (path == "triton"))
        return path

    monkeypatch.setenv("FEATMIX_KERNELS", "triton")
    monkeypatch.setattr(dispatch, "path_for", noted)
    return seen


def gradient(function, x):
    leaf = x.clone().requires_grad_()
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(3)).half().to(x)
    (function(leaf) * weight).sum().backward()
    return leaf.grad


@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("strategy", TRIED, ids=repr)
def test_result_and_gradient_are_as_near_to_float64_as_the_formula(strategy, last, taken):
    x = torch.randn(5, 4, 6, 7, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    params = strategy.make_params(x.shape, generator=torch.Generator().manual_seed(2)).to(DEVICE)
    active = params.active & torch.tensor([True, True, False, True, True], device=DEVICE)
    params = dataclasses.replace(params, active=active)

    def fast(z):
        return strategy.transform(z, params)

    def formula(z):
        return Strategy.gated(strategy, z, params.tied())

    assert fast(x).stride() == x.stride()
    assert torch.equal(fast(x)[~active], x[~active])
    assert taken
    for measure in (lambda function, z: function(z), gradient):
        exact = measure(formula, x.double())
        off, allowed = (measure(function, x).double().sub(exact).abs().max() for function in (fast, formula))
        assert off <= 2 * allowed + 4 * torch.finfo(x.dtype).eps * exact.abs().max()


class _Reading(TorchDispatchMode):
    """Refuses what a device would have to be waited for: values that Python reads, sizes that depend on values."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func.overloadpacket not in READING, f"{func} reads values"
        return func(*args, **(kwargs or {}))


aten = torch.ops.aten
READING = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten._unique2, aten.equal, aten.is_nonzero}


@pytest.mark.parametrize("strategy", TRIED, ids=repr)
def test_no_value_is_read_between_decision_and_gradient(strategy, taken, monkeypatch):
    x = torch.randn(2, 4, 3, 3, device=DEVICE)
    leaf, weight, params = x.clone().requires_grad_(), torch.randn_like(x), strategy.make_params(x.shape).to(DEVICE)

    def refuse(tensor):
        raise AssertionError("tolist reads values")

    monkeypatch.setattr(torch.Tensor, "tolist", refuse)  # on the CPU it passes by the dispatcher
    with _Reading():
        torch.autograd.grad(strategy.transform(leaf, params), leaf, weight)
    assert taken


def test_a_value_that_is_read_is_noticed():
    with _Reading(), pytest.raises(AssertionError, match="reads values"):
        torch.ones(3).sum().item()


@pytest.mark.skipif(DEVICE.type != "cpu", reason="laws draw on the CPU: they try the kernels in the interpreter")
@parametrize_with_checks(
    [fm.MoEx("pono"), fm.MixStyle(p=0.5, per="sample"), *MIXERS],
    examples=3,
    dtypes=(torch.float32, torch.bfloat16),
    kinds=("strategy",),
    where=lambda _, law: law.drawn and not law.of_draws,
)
def test_every_law_holds(check):
    check()


class _Operations(TorchDispatchMode):
    """Counts what the dispatcher sees."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


ONCE = [fm.MoEx("pono"), fm.MoEx("in"), fm.MoEx("gn2"), fm.MixStyle(p=1.0), fm.PAdaIN(p=1.0), fm.CrossNorm(p=1.0)]
ONCE += [fm.Mixup(), fm.CutMix(), fm.FMix(), fm.ResizeMix(), fm.PatchUp("hard")]


@pytest.mark.parametrize("strategy", ONCE, ids=repr)
def test_one_launch_each_way_and_few_operations(strategy, monkeypatch):
    launched = []
    monkeypatch.setattr(launch.Launch, "__call__", lambda *arguments: launched.append(arguments))
    x = torch.randn(4, 4, 8, 8, device=DEVICE, requires_grad=True)
    params, weight = strategy.make_params(x.shape, device=DEVICE), torch.ones(4, 4, 8, 8, device=DEVICE)
    with _Operations() as forward:
        y = strategy.transform(x, params)
    there = len(launched)
    with _Operations() as backward:
        y.backward(weight)
    assert (there, len(launched) - there) == (1, 1)
    assert forward.count <= 8
    assert backward.count <= 8
