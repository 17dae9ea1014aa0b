"""Which way a tensor goes, and how many operations the ways take."""

import ast
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import featmix as fm
from featmix.kernels import dispatch

PACKAGE = Path(fm.__file__).parent
SHAPE = (8, 16, 8, 8)


class Operations(TorchDispatchMode):
    """Counts what reaches the dispatcher."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


def counted(function):
    with Operations() as operations:
        result = function()
    return operations.count, result


@pytest.mark.parametrize(("wish", "path"), [(None, "cpu"), ("auto", "cpu"), ("cpu", "cpu"), ("formula", "formula")])
def test_the_environment_chooses_at_each_use(wish, path, monkeypatch):
    monkeypatch.delenv("FEATMIX_KERNELS", raising=False)
    if wish:
        monkeypatch.setenv("FEATMIX_KERNELS", wish)
    assert dispatch.path_for(torch.zeros(2, 3)) == path


def test_the_formula_is_taken_where_it_is_asked_for(monkeypatch):
    strategy, x = fm.MoEx("in"), torch.randn(4, 3, 5, 5, dtype=torch.float64)
    params = strategy.make_params(x.shape)
    fast = strategy.transform(x, params)
    monkeypatch.setenv("FEATMIX_KERNELS", "formula")
    seen = []
    monkeypatch.setattr(fm.MoEx, "act", lambda self, x, params: seen.append(x) or super(fm.MoEx, self).act(x, params))
    assert torch.allclose(strategy.transform(x, params), fast)
    assert seen


@pytest.mark.parametrize("strategy", [fm.MoEx(), fm.Mixup(), fm.EFDMix(), fm.FMix()], ids=lambda s: s.name)
def test_an_unknown_word_is_refused_and_the_choices_are_named(strategy, monkeypatch):
    params = strategy.make_params(SHAPE)
    monkeypatch.setenv("FEATMIX_KERNELS", "tritn")
    with pytest.raises(fm.FeatmixError, match=r"one of auto, formula, cpu, triton, got 'tritn'. Did you mean 'triton'"):
        strategy.transform(torch.zeros(SHAPE), params)


def test_triton_on_the_cpu_needs_its_interpreter(monkeypatch):
    monkeypatch.setenv("FEATMIX_KERNELS", "triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(dispatch, "_has_triton", lambda: True)
    with pytest.raises(fm.FeatmixError, match="TRITON_INTERPRET=1"):
        dispatch.path_for(torch.zeros(2, 3))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert dispatch.path_for(torch.zeros(2, 3)) == "triton"
    assert dispatch.path_for(torch.zeros(2, 3, dtype=torch.float64)) == "formula"


def test_triton_that_is_not_installed_is_refused(monkeypatch):
    monkeypatch.setenv("FEATMIX_KERNELS", "triton")
    monkeypatch.setattr(dispatch, "_has_triton", lambda: False)
    with pytest.raises(fm.FeatmixError, match="triton to be installed"):
        dispatch.path_for(torch.zeros(2, 3))


def test_what_no_path_takes_goes_by_the_formula():
    assert dispatch.path_for(torch.zeros(4, 6)[:, ::2]) == "formula"
    assert dispatch.path_for(torch.zeros(0, 6)) == "formula"
    assert dispatch.path_for(torch.zeros(2, 3, device="meta")) == "formula"


@pytest.mark.parametrize(
    "file", sorted((PACKAGE / "kernels").rglob("*.py")) + sorted((PACKAGE / "strategies").rglob("*.py")), ids=str
)
def test_no_derivative_is_taken_inside_a_backward(file):
    names = [ast.unparse(node) for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute)]
    assert not [name for name in names if name.endswith("autograd.grad")]


# Forward with a gradient to come, and backward; of the features' size and small ones together. The formulas took 24 and 41.
LIMITS = {"moex": (14, 18), "crossnorm": (14, 18), "mixstyle": (20, 12), "mixup": (3, 5), "cutmix": (8, 10)}


@pytest.mark.parametrize("name", LIMITS)
def test_small_features_take_few_operations(name):
    strategy = fm.create(name, p=1.0)
    params = strategy.make_params(SHAPE, generator=torch.Generator().manual_seed(0)).tied()
    x = torch.randn(SHAPE, requires_grad=True)
    forward, y = counted(lambda: strategy.gated(x, params))
    backward, _ = counted(lambda: y.backward(torch.ones(SHAPE)))
    assert forward <= LIMITS[name][0]
    assert backward <= LIMITS[name][1]


@pytest.mark.parametrize("name", ["moex", "mixstyle", "mixup", "cutmix", "fmix", "patchup", "efdmix", "dsu", "csu"])
def test_a_batch_that_is_not_mixed_costs_next_to_nothing(name, monkeypatch):
    monkeypatch.setattr(dispatch, "SMALLEST", 0)
    strategy, x = fm.create(name, p=0.0), torch.randn(SHAPE, requires_grad=True)
    params = strategy.make_params(SHAPE).tied()
    operations, y = counted(lambda: strategy.gated(x, params))
    assert torch.equal(y, x)
    assert y.data_ptr() != x.data_ptr()
    assert operations <= 12
    operations, _ = counted(lambda: y.backward(torch.ones(SHAPE)))
    assert operations <= 6
    assert torch.equal(x.grad, torch.ones(SHAPE))
