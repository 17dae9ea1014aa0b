"""What holds for every strategy there is: nothing here is listed by hand."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, default_collate

import featmix as fm
from featmix.strategies.content import ContentStrategy
from featmix.strategies.moments import MomentStrategy

EVERY = fm.list_strategies()
FLOATS_ONLY = [name for name in EVERY if fm.strategy_class(name).tags.needs_float]
SHAPES = {
    "bchw": (4, 8, 5, 6),
    "bhwc": (4, 5, 6, 8),
    "bnc": (4, 7, 8),
    "bct": (4, 8, 7),
    "bcdhw": (4, 8, 2, 3, 4),
    "bc": (4, 8),
}
EDGES = [(0, 3, 4, 4), (1, 3, 4, 4), (2, 3, 1, 1), (3, 1, 4, 4), (5, 3, 4, 4), (2, 1, 1, 1), (3, 2, 1, 9)]


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def made(name, *, p=1.0, **settings):
    return fm.create(name, p=p, **settings)


def decision(strategy, x, seed=0):
    return strategy.make_params(x.shape, generator=torch.Generator().manual_seed(seed))


def layouts_of(name):
    return ["bchw", "bhwc", "bct", "bcdhw"] if fm.strategy_class(name).tags.spatial else list(SHAPES)


@pytest.mark.parametrize(("name", "axes"), [(name, axes) for name in EVERY for axes in layouts_of(name)])
def test_oracle(name, axes):
    strategy, x = made(name, layout=axes, per="sample", p=0.7), draw(*SHAPES[axes])
    for seed in range(3):
        params = decision(strategy, x, seed)
        expected = torch.tensor(strategy.oracle(x.numpy(), params))
        torch.testing.assert_close(strategy.transform(x, params), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("shape", EDGES, ids=str)
@pytest.mark.parametrize("name", EVERY)
def test_edge_shapes(name, shape):
    strategy, x = made(name), draw(*shape).requires_grad_()
    params = decision(strategy, x)
    y = strategy.transform(x, params)
    assert y.shape == x.shape
    assert bool(y.isfinite().all())
    torch.testing.assert_close(params.mixture.weight.sum(1), torch.ones(shape[0]))
    if x.numel():
        y.sum().backward()
        assert bool(x.grad.isfinite().all())
    if shape[0] == 1:
        torch.testing.assert_close(y, x)
        assert torch.equal(params.mixture.matrix(), torch.ones(1, 1))


@pytest.mark.parametrize("name", EVERY)
def test_changes_something_and_mutates_nothing(name):
    strategy, x = made(name), draw(6, 8, 8, 8)
    before, params = x.clone(), decision(strategy, x, seed=1)
    y = strategy.transform(x, params)
    assert not torch.allclose(y, x)
    assert torch.equal(x, before)
    assert torch.equal(strategy.transform(x, params), y)


@pytest.mark.parametrize("name", EVERY)
def test_rows_that_are_not_active_are_untouched_even_by_nan(name):
    strategy, x = made(name, per="sample", p=0.5), draw(16, 8, 4, 4)
    params = decision(strategy, x)
    idle = ~params.active
    assert 0 < int(idle.sum()) < 16
    x[params.partner[idle]] = float("nan")
    x[:, 0, 0, 0], x[:, 1, 0, 0] = float("inf"), -0.0
    y = strategy.transform(x, params)
    assert torch.equal(y[idle].view(torch.int64), x[idle].view(torch.int64))  # bit for bit
    assert torch.equal(params.mixture.matrix()[idle], torch.eye(16)[idle])


@pytest.mark.parametrize("name", EVERY)
def test_a_nan_partner_does_not_reach_the_gradient_of_an_idle_row(name):
    strategy, x = made(name, per="sample", p=0.5), draw(16, 8, 4, 4)
    params = decision(strategy, x)
    sick = int(params.partner[~params.active][0])
    x[sick] = float("nan")
    x.requires_grad_()
    idle = ~params.active & (torch.arange(16) != sick)
    strategy.transform(x, params)[idle].sum().backward()
    assert bool((x.grad[idle] == 1).all())


@pytest.mark.parametrize("name", EVERY)
def test_p_0_is_identity(name):
    x = draw(4, 8, 4, 4)
    strategy = made(name, p=0)
    params = decision(strategy, x)
    assert torch.equal(strategy.transform(x, params), x)
    assert torch.equal(params.mixture.matrix(), torch.eye(4))


@pytest.mark.parametrize("name", EVERY)
def test_permuting_rows_and_decision_together(name):
    strategy, x = made(name), draw(5, 8, 4, 4)
    params, order = decision(strategy, x), torch.tensor([3, 0, 4, 1, 2])
    place = order.argsort()  # where each old row went
    moved = {name: value[order] for name, value in params.per_row().items() if name != "partner"}
    permuted = dataclasses.replace(params, partner=place[params.partner[order]], **moved)
    expected = strategy.transform(x, params)[order]
    torch.testing.assert_close(strategy.transform(x[order], permuted), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", EVERY)
def test_dtype_is_kept_and_rounded_once(name, dtype):
    strategy, x = made(name), draw(4, 8, 4, 4, dtype=dtype)
    params = decision(strategy, x)
    y, exact = strategy.transform(x, params), strategy.transform(x.double(), params)
    assert y.dtype == dtype
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(y.double(), exact, rtol=eps / 2 + 1e-6, atol=1e-5)


@pytest.fixture
def double_by_default():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double_by_default")
@pytest.mark.parametrize("name", EVERY)
def test_decisions_are_float32_whatever_torch_makes_by_default(name):
    params = decision(made(name), draw(4, 8, 4, 4))
    floats = [t for t in (*params.per_row().values(), params.mixture.weight) if t.is_floating_point()]
    assert {t.dtype for t in floats} == {torch.float32}


@pytest.mark.parametrize("name", EVERY)
def test_memory_format_is_kept(name):
    strategy, x = made(name), draw(4, 8, 4, 6)
    params = decision(strategy, x)
    usual, last = strategy.transform(x, params), strategy.transform(x.contiguous(memory_format=torch.channels_last), params)
    assert usual.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, usual, rtol=0, atol=1e-12)
    wide = draw(4, 8, 4, 12)[..., ::2]
    sliced = strategy.transform(wide, params)
    torch.testing.assert_close(sliced, strategy.transform(wide.contiguous(), params), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", EVERY)
def test_eval_mode_is_identity(name):
    strategy, x = made(name, num_classes=3).eval(), draw(4, 8, 4, 4)
    target = torch.tensor([0, 1, 2, 1])
    y, soft = strategy(x, target)
    assert torch.equal(strategy(x), x)
    assert torch.equal(y, x)
    assert torch.equal(soft, torch.eye(3)[target])


@pytest.mark.parametrize("name", EVERY)
def test_drop_in_call_is_transform_and_dense(name):
    strategy, x, target = made(name), draw(4, 8, 6, 6), torch.tensor([0, 1, 2, 1])
    before = torch.get_rng_state()
    y, soft = strategy(x, target, num_classes=3, generator=torch.Generator().manual_seed(5))
    assert torch.equal(torch.get_rng_state(), before)
    params = decision(strategy, x, seed=5)
    assert torch.equal(y, strategy.transform(x, params))
    assert torch.equal(soft, params.mixture.dense(target, 3))
    with pytest.raises(fm.FeatmixError, match=r"num_classes: expected the number of classes.*num_classes=10"):
        strategy(x, target)


@pytest.mark.parametrize("name", EVERY)
def test_as_collate_with_two_workers(name):
    strategy = made(name, num_classes=3)
    rows = [(x.float(), i % 3) for i, x in enumerate(draw(8, 4, 8, 8))]

    def collate(batch):
        return strategy(*default_collate(batch))

    loader = DataLoader(rows * 4, batch_size=8, num_workers=2, collate_fn=collate, generator=torch.Generator().manual_seed(0))
    batches = list(loader)
    assert len(batches) == 4
    for x, soft in batches:
        assert x.shape == (8, 4, 8, 8)
        torch.testing.assert_close(soft.sum(1), torch.ones(8))
    assert any(not torch.equal(batches[0][0], x) for x, _ in batches[1:])  # the workers do not repeat one another


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
@pytest.mark.parametrize("name", FLOATS_ONLY)
def test_integers_are_refused_with_the_reason(name, dtype):
    x = torch.ones(4, 3, 4, 4, dtype=dtype)
    with pytest.raises(
        fm.FeatmixError, match=r"expected a floating tensor, got torch\.\w+\. It computes with the values.*[Cc]onvert"
    ):
        made(name)(x)


@pytest.mark.parametrize("name", EVERY)
def test_wrong_batch_sizes_are_refused(name):
    strategy, x = made(name), draw(4, 8, 4, 4)
    with pytest.raises(fm.FeatmixError, match="params: expected a decision for the 6 rows of x, got one for 4 rows"):
        strategy.transform(draw(6, 8, 4, 4), decision(strategy, x))
    for argument in ("target", "domain", "partner"):
        with pytest.raises(fm.FeatmixError, match=f"{argument}: expected a tensor of 4 rows"):
            strategy.make_params(x.shape, **{argument: torch.zeros(3, dtype=torch.int64)})


@pytest.mark.parametrize("name", EVERY)
def test_what_is_no_tensor_or_has_no_axes_is_refused(name):
    with pytest.raises(fm.FeatmixError, match="x: expected a tensor, got ndarray"):
        made(name)(np.zeros((4, 8, 4, 4)))
    with pytest.raises(fm.FeatmixError, match="2 to 5 axes"):
        made(name)(torch.zeros(4))
    with pytest.raises(fm.FeatmixError, match="shape: expected a batch axis"):
        made(name).make_params(())


BAD = [
    *(("p", value, "a number in [0, 1]") for value in (-0.1, 1.1, float("nan"), "0.5", None, True)),
    ("per", "row", "one of batch, sample"),
    ("partner", "randperm", "one of derangement, permutation, crossdomain"),
    ("layout", "bcwb", "then a lower-case letter for each axis"),
]


@pytest.mark.parametrize(
    ("name", "setting", "value", "expected"),
    [(name, *bad) for name in EVERY for bad in BAD if bad[0] in fm.strategy_class(name).setting_names()],
)
def test_bad_settings_are_refused(name, setting, value, expected):
    with pytest.raises(fm.FeatmixError) as refused:
        fm.create(name, **{setting: value})
    assert expected in str(refused.value)
    assert repr(value) in str(refused.value)


@pytest.mark.parametrize("name", EVERY)
def test_gate_per_sample_marks_the_labels_of_the_same_rows(name):
    strategy, x = made(name, per="sample", p=0.3), draw(200, 2, 16, 16)
    params = decision(strategy, x)
    assert 30 <= int(params.active.sum()) <= 90
    if params.lam is not None:
        assert bool((params.lam[~params.active] == 1).all())
    if strategy.tags.mixes_labels:
        torch.testing.assert_close(params.mixture.matrix().diagonal(), params.lam)
    else:
        assert torch.equal(params.mixture.matrix(), torch.eye(200))


def choices_of(name):
    """Every two ways of one setting: who drew, and who acts."""
    settings = made(name).setting_choices().items()
    return [(name, setting, *words) for setting, all_words in settings for words in itertools.permutations(all_words, 2)]


@pytest.mark.parametrize(("name", "setting", "drew", "acts"), [case for name in EVERY for case in choices_of(name)])
def test_a_decision_says_all_that_acting_needs(name, setting, drew, acts):
    """Whoever acts by it: what was drawn in one way is not read as drawn in another, on a fast path either, or is refused."""
    drawer, actor = (made(name, **{setting: word}) for word in (drew, acts))
    x = draw(6, 8, 12, 12, dtype=torch.float32)
    domain = torch.arange(6) % 2
    params = drawer.make_params(x.shape, generator=torch.Generator().manual_seed(0), domain=domain)
    expected = drawer.transform(x, params)
    try:
        found = actor.transform(x, params)
    except fm.FeatmixError:
        assert drawer.needs_shape != actor.needs_shape  # the one has places, and the other knows of none
        return
    assert torch.equal(found, expected)
    assert torch.equal(actor.act(x, params), drawer.act(x, params))
    padding = torch.arange(12).expand(6, 12, 12) < torch.arange(7, 13).view(6, 1, 1)
    assert torch.equal(actor.transform(x, params, padding), drawer.transform(x, params, padding))
    if hasattr(drawer, "partner_share"):
        one, other = (strategy.partner_share(params, (12, 12)).double() for strategy in (drawer, actor))
        assert torch.equal(one.expand(6, 8, 12, 12), other.expand(6, 8, 12, 12))


@pytest.mark.parametrize("shape", [(4, 8, 5, 6), (4, 64, 40, 40)], ids=str)  # by the formula in some steps, and in blocks
@pytest.mark.parametrize("name", EVERY)
def test_a_layer_behind_it_may_work_in_place(name, shape):
    """A result that is a view would be changed together with what it is a view of, and lose the hooks that others put on it."""
    strategy = made(name)
    leaf = draw(*shape, dtype=torch.float32).requires_grad_()
    params = decision(strategy, leaf)
    y = strategy.transform(leaf * 1, params)
    if isinstance(strategy, MomentStrategy | ContentStrategy):
        assert not y._is_view()
    (plain,) = torch.autograd.grad(strategy.transform(leaf * 1, params).relu().sum(), leaf)
    (found,) = torch.autograd.grad(torch.relu_(y).sum(), leaf)
    torch.testing.assert_close(found, plain)
