"""What only a device shows: that nothing waits for it, and that a step can be captured."""

from contextlib import contextmanager, nullcontext

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm

if not torch.cuda.is_available():
    pytest.skip("there is no CUDA device", allow_module_level=True)
pytest.importorskip("triton", reason="triton is not installed")

STRATEGIES = [fm.MoEx("pono"), fm.MoEx("in"), fm.MixStyle(p=1.0), fm.Mixup(), fm.CutMix()]


@contextmanager
def nothing_waits():
    """Not around what is made on the host: to copy it to the device is to wait."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def case(strategy, dtype=torch.float32):
    x = torch.randn(16, 32, 28, 28, device="cuda").to(dtype)
    return x, strategy.make_params(x.shape, device=x.device)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
def test_agrees_with_the_cpu(strategy, dtype):
    x, params = case(strategy, dtype)
    expected = strategy.transform(x.double().cpu(), params.to("cpu"))
    error = (strategy.transform(x, params).double().cpu() - expected).abs().max()
    assert error <= 8 * torch.finfo(dtype).eps * expected.abs().max()


@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
def test_a_step_does_not_wait_for_the_device(strategy):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10)).cuda()
    images, labels = torch.randn(8, 3, 16, 16, device="cuda"), torch.zeros(8, dtype=torch.int64, device="cuda")
    mixer = fm.attach(model, {"0": strategy}, example=images)

    def step():
        mix = mixer.draw(images, target=labels)
        mix.loss(F.cross_entropy, model(images), labels).backward()

    step()  # compiles
    with nothing_waits():
        for _ in range(3):
            step()


@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
def test_result_and_gradient_do_not_wait_for_the_device(strategy):
    x, params = case(strategy)
    leaf, weight = x.clone().requires_grad_(), torch.randn_like(x)
    for context in (nullcontext(), nothing_waits()):  # the first time compiles
        with context:
            torch.autograd.grad(strategy.transform(leaf, params), leaf, weight)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
def test_a_captured_step_replays_other_decisions(strategy):
    x, params = case(strategy)
    leaf, weight = x.clone().requires_grad_(), torch.randn_like(x)

    def step():
        y = strategy.transform(leaf, params)
        return y, torch.autograd.grad(y, leaf, weight)[0]

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    other = strategy.make_params(x.shape, device=x.device)
    for name, value in other.per_row().items():
        getattr(params, name).copy_(value)
    graph.replay()
    for found, expected in zip(captured, step(), strict=True):
        torch.testing.assert_close(found, expected)
