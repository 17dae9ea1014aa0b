"""Mixup and CutMix whose partners are samples seen before: labels go where features go."""

import copy

import pytest
import torch
from torch import Generator, nn
from torch.nn import functional as F

import featmix as fm

CLASSES, SHAPE = 7, (4, 7, 6, 6)
MAKERS = {"mixup": fm.Mixup, "cutmix": fm.CutMix, "manifold-mixup": fm.ManifoldMixup}


def marked(labels):
    """Samples that are 1 in the channel of their label and 0 elsewhere: what is in them is what their labels should say."""
    return F.one_hot(labels, CLASSES).float().view(-1, CLASSES, 1, 1).expand(-1, -1, *SHAPE[2:]).contiguous()


def batches(count, size=4, seed=0):
    g = Generator().manual_seed(seed)
    for _ in range(count):
        labels = torch.randint(CLASSES, (size,), generator=g)
        yield marked(labels), labels


def content(x):
    return x.mean((2, 3))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("size", [1, 4])
def test_labels_are_those_of_the_content(name, size):
    strategy = fm.create(name, memory=5, num_classes=CLASSES)
    torch.manual_seed(0)
    beyond = 0
    for x, labels in batches(30, size):
        y, soft = strategy(x, labels)
        torch.testing.assert_close(content(y), soft)
        beyond += int((soft[:, labels.unique()].sum(1) < 1 - 1e-6).sum())
    assert beyond > 10 * size  # shares of labels that are in no row of the batch


def test_a_batch_of_one_blends_with_an_earlier_sample():
    mixup = fm.Mixup(memory=3)
    first, second = (torch.randn(1, 3, 4, 4, generator=Generator().manual_seed(k)) for k in (1, 2))
    mixup(first, torch.tensor([3.0]))
    params = mixup.training_params(second.shape, target=torch.tensor([5.0]))
    lam = float(params.lam)
    torch.testing.assert_close(mixup.transform(second, params), lam * second + (1 - lam) * first)
    torch.testing.assert_close(params.mixture.dense(torch.tensor([5.0])), torch.tensor([lam * 5 + (1 - lam) * 3]))


def test_bytes_are_pasted_bit_for_bit_and_rows_keep_their_weight_in_the_loss():
    cutmix = fm.CutMix(memory=4, loss_weight=2.0, alpha=5.0)
    first, second = (torch.randint(256, (1, 3, 8, 8), dtype=torch.uint8) for _ in range(2))
    cutmix(first, torch.tensor([0.0]))
    params = cutmix.training_params(second.shape, target=torch.tensor([1.0]))
    y = cutmix.transform(second, params)
    (top, bottom), (left, right) = params.box[0].tolist()
    expected = second.clone()
    expected[:, :, top:bottom, left:right] = first[:, :, top:bottom, left:right]
    assert bottom > top
    assert right > left
    assert torch.equal(y, expected)
    assert params.mixture.scale.tolist() == [2.0]


TREES = {
    "mixup": lambda: {"0": fm.Mixup(memory=6)},
    "cutmix at the input": lambda: {"input": fm.CutMix(memory=6)},
    "behind a strategy that mixes some": lambda: {"input": fm.CutMix(p=0.5, per="sample"), "0": fm.Mixup(memory=6)},
    "two memories": lambda: {"input": fm.CutMix(memory=3, p=0.7), "0": fm.Mixup(memory=6, per="sample", p=0.5)},
    "one of": lambda: fm.OneOf([fm.At("input", fm.Mixup()), fm.At("0", fm.CutMix(memory=6))]),
    "two boxes": lambda: fm.Compose([fm.At("0", fm.CutMix(memory=6)), fm.At("0", fm.CutMix()), fm.At("0", fm.Mixup(memory=3))]),
}


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_labels_in_a_model_are_those_of_the_content_whatever_is_before(tree):
    """Among them: what an earlier site mixed is not remembered under a sample's own label."""
    model = nn.Sequential(nn.Identity(), nn.Identity())
    remembered = 0
    with fm.attach(model, tree(), example=torch.zeros(SHAPE), seed=0) as mixer:
        for x, labels in batches(40):
            mix = mixer.draw(x, target=labels)
            torch.testing.assert_close(content(model(x)), mix.dense(labels, CLASSES), atol=1e-5, rtol=0)
            remembered += sum(int(p.remembered.sum()) for p in mix.params.values() if hasattr(p, "remembered"))
    assert remembered > 20


def test_moments_behind_a_strategy_that_mixes_labels_are_not_remembered_under_one_label():
    model = nn.Sequential(nn.Identity())
    with fm.attach(model, {"input": fm.Mixup(), "0": fm.MoEx("in", memory=8)}, example=torch.zeros(SHAPE), seed=0) as mixer:
        for x, labels in batches(3):
            mix = mixer.draw(x, target=labels)
            model(x)
            assert not mix.params["0"].remembered.any()  # each row was mixed before it came there
        assert not mixer.state_dict()["strategies"]["0"]["_memory.written"][:8].any()


@pytest.mark.parametrize("name", MAKERS)
def test_oracle(name):
    strategy = fm.create(name, memory=8, per="sample", p=0.7, layout="bchw")
    strategy(torch.randn(SHAPE).double(), torch.arange(4.0))
    x = torch.randn(SHAPE).double()
    params = strategy.training_params(SHAPE, target=torch.arange(4.0))
    assert params.remembered.any()
    expected = torch.tensor(strategy.oracle(x.numpy(), params))
    torch.testing.assert_close(strategy.transform(x, params), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_remembered_carries_no_gradient_and_nan_stays_with_who_takes_it(name):
    strategy = fm.create(name, memory=4)
    first = torch.full((2, 3, 4, 4), float("nan"), requires_grad=True)
    strategy(first, torch.zeros(2))
    x = torch.randn(4, 3, 4, 4, requires_grad=True)
    params = strategy.training_params(x.shape, target=torch.zeros(4))
    params = params.replaced(remembered=torch.tensor([True, False, False, True]))
    y = strategy.transform(x, params)
    assert bool(y[1:3].isfinite().all())
    y[1:3].sum().backward()
    assert first.grad is None
    assert bool(x.grad.isfinite().all())


def test_class_tokens_are_not_remembered():
    mixup = fm.Mixup(memory=4, num_prefix_tokens=1, layout="bnc")
    one, two = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    mixup(one, torch.zeros(2))
    params = mixup.training_params(two.shape, target=torch.zeros(2))
    y = mixup.transform(two, params)
    assert params.features.shape == (2, 4, 3)
    assert torch.equal(y[:, 0], two[:, 0])
    lam = params.lam.view(-1, 1, 1)
    torch.testing.assert_close(y[:, 1:], lam * two[:, 1:] + (1 - lam) * params.features)


def test_compiled_and_resumed_runs_do_the_same():
    from torch._dynamo.testing import CompileCounterWithBackend

    def losses(model, mixer, data):
        return [mixer.draw(x, target=y).loss(F.cross_entropy, model(x), y).item() for x, y in data]

    def attached():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(CLASSES * 36, CLASSES))
        return model, fm.attach(model, {"0": fm.CutMix(memory=6)}, example=torch.zeros(SHAPE), seed=0)

    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    model, mixer = attached()
    first = losses(model, mixer, batches(4))
    state, rest = copy.deepcopy(mixer.state_dict()), losses(model, mixer, batches(4, seed=1))
    again, resumed = attached()
    assert losses(torch.compile(again, backend=counter, fullgraph=True), resumed, batches(4)) == pytest.approx(first, abs=1e-6)
    assert counter.frame_count == 1
    other, loaded = attached()
    loaded.load_state_dict(state)
    assert losses(other, loaded, batches(4, seed=1)) == rest


def test_what_cannot_be_right_is_refused():
    cutmix, x, maps = fm.CutMix(memory=4), torch.randn(SHAPE), torch.zeros(4, 6, 6, dtype=torch.int64)
    with pytest.raises(fm.FeatmixError, match=r"CutMix: memory: .*no target.*Pass target="):
        cutmix(x)
    with pytest.raises(fm.FeatmixError, match="CutMix: memory: expected no mask"):
        cutmix(x, torch.zeros(4), mask=torch.ones(4, 6, 6).bool())
    cutmix(x, torch.zeros(4))
    with pytest.raises(fm.FeatmixError, match=r"dense_targets: expected a decision within one batch.*keeps no label maps"):
        cutmix.dense_targets(maps, cutmix.training_params(SHAPE, target=torch.zeros(4)))
    mixup = fm.Mixup(memory=4)
    params = mixup.training_params(SHAPE, target=torch.zeros(4))
    with pytest.raises(fm.FeatmixError, match=r"memory: features: expected what is remembered, torch.float32 \(7, 6, 6\)"):
        mixup.remember(torch.randn(4, 7, 5, 5), params)
    with pytest.raises(fm.FeatmixError, match=r"memory: features: expected floats, bytes or 16 bits, got torch\.int64"):
        fm.CutMix(memory=4)(torch.zeros(SHAPE, dtype=torch.int64), torch.zeros(4))
    with pytest.raises(fm.FeatmixError, match="memory: expected a whole number from 1 up"):
        fm.Mixup(memory=0)
