import functools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from featmix import CutMix, FeatmixError, Mixture, MoEx
from featmix.labels.mixture import made


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def mix(batch=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    return Mixture.pair(torch.randperm(batch, generator=g), torch.rand(batch, generator=g))


def close(a, b, atol=1e-6):
    torch.testing.assert_close(a, b, rtol=0, atol=atol, check_dtype=False)


def test_identity():
    mx = Mixture.identity(3)
    assert len(mx) == 3
    assert torch.equal(mx.matrix(), torch.eye(3))
    assert mx.index.dtype == torch.int64
    assert mx.weight.dtype == torch.float32


def test_pair_gives_the_own_share_to_lam():
    mx = Mixture.pair(torch.tensor([2, 0, 1]), torch.tensor([0.9, 0.5, 0.0], dtype=torch.float64))
    close(mx.matrix(), torch.tensor([[0.9, 0.0, 0.1], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]))
    assert mx.weight.dtype == torch.float32


def test_a_row_that_is_its_own_partner_adds_up():
    assert torch.equal(Mixture.pair(torch.tensor([0]), torch.tensor([0.75])).matrix(), torch.ones(1, 1))


def test_then_is_the_matrix_product_and_does_not_commute():
    first, second = mix(seed=1), mix(seed=2)
    close(first.then(second).matrix(), second.matrix() @ first.matrix())
    assert not torch.allclose(first.then(second).matrix(), second.then(first).matrix(), atol=0.01)


def test_then_keeps_columns_few_and_rows_at_1():
    total, product = Mixture.identity(5), torch.eye(5)
    for seed in range(6):
        total, product = total.then(mix(seed=seed)), mix(seed=seed).matrix() @ product
        assert total.index.shape == total.weight.shape
        assert total.index.shape[1] <= 5
        close(total.matrix(), product)
        close(total.weight.sum(1), torch.ones(5))


@pytest.fixture
def double_by_default():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double_by_default")
def test_weights_are_float32_whatever_torch_makes_by_default():
    mx = Mixture.identity(2).then(Mixture.pair(torch.tensor([1, 0]), torch.tensor([0.5, 0.25])))
    for mixture in (Mixture.identity(2), mx, mx.then(mx).then(mx)):
        assert mixture.weight.dtype == mixture.matrix().dtype == torch.float32
    assert mx.dense(torch.tensor([0, 1]), 2).dtype == torch.float32


def test_then_with_identity_changes_nothing():
    mx = mix()
    close(mx.then(Mixture.identity(5)).matrix(), mx.matrix())
    close(Mixture.identity(5).then(mx).matrix(), mx.matrix())


def test_cutmix_then_moex_with_one_permutation():
    partner = torch.tensor([1, 2, 3, 0])
    generator = torch.Generator().manual_seed(0)
    drawn = (CutMix().make_params((4, 3, 8, 8), partner=partner, generator=generator) for _ in range(50))
    cut = next(params for params in drawn if 0 < params.lam[0] < 1)  # a box may be empty, or hold everything
    moex = MoEx(lam=0.8).make_params((4, 3, 8, 8), partner=partner)
    c, m = float(cut.lam[0]), 0.8
    expected = torch.zeros(4, 4)
    for i, j, k in [(0, 1, 2), (1, 2, 3), (2, 3, 0), (3, 0, 1)]:
        expected[i, i] = c * m
        expected[i, j] = (1 - c) * m + c * (1 - m)
        expected[i, k] = (1 - c) * (1 - m)
    close(cut.mixture.then(moex.mixture).matrix(), expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_dense_class_indices(dtype):
    mx, target = mix(), torch.tensor([0, 2, 1, 2, 0])
    soft = mx.dense(target.to(dtype), num_classes=4)
    close(soft, mx.matrix() @ F.one_hot(target, 4).float())
    assert soft.dtype == torch.float32


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize(
    ("target", "dtype"),
    [
        (torch.eye(3, dtype=torch.int64)[[0, 2, 1, 2, 0]], torch.float32),
        (torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0], [1, 1, 0]], dtype=torch.bool), torch.float32),
        (draw(5, 3).softmax(1), torch.float64),
        (draw(5, 3).softmax(1).float(), torch.float32),
        (draw(5, 3).softmax(1).half(), torch.float16),
        (draw(5, 3).softmax(1).bfloat16(), torch.bfloat16),
    ],
    ids=["one-hot", "multi-label bool", "soft double", "soft", "soft half", "soft bfloat16"],
)
def test_dense_vectors(target, dtype, num_classes):
    mx = mix()
    soft = mx.dense(target, num_classes)
    assert soft.dtype == dtype
    close(soft, (mx.matrix().double() @ target.double()).to(dtype))


def test_half_targets_are_rounded_once():
    mx = Mixture(torch.arange(5).expand(5, 5), torch.full((5, 5), 0.2))
    target = torch.full((5,), 1000.0, dtype=torch.float16)
    assert torch.equal(mx.dense(target), target)


def test_dense_regression():
    mx = mix()
    close(mx.dense(draw(5)), mx.matrix().double() @ draw(5))
    close(mx.dense(draw(5, 2)), mx.matrix().double() @ draw(5, 2))


def test_dense_of_an_empty_batch():
    mx = Mixture.pair(torch.empty(0, dtype=torch.int64), torch.empty(0))
    assert mx.dense(torch.empty(0, dtype=torch.int64), num_classes=3).shape == (0, 3)


def test_cross_entropy_is_that_of_the_soft_labels():
    mx, output, target = mix(), draw(5, 4), torch.tensor([0, 3, 1, 2, 0])
    close(mx.loss(F.cross_entropy, output, target), F.cross_entropy(output, mx.dense(target, 4).double()))


def test_partial_of_a_function():
    mx, output, target = mix(), draw(5, 4), torch.tensor([0, 3, 1, 2, 0])
    smooth = functools.partial(F.cross_entropy, label_smoothing=0.1)
    close(mx.loss(smooth, output, target), smooth(output, mx.dense(target, 4).double()))


def test_partial_keeps_the_reduction_asked_for():
    mx, output, target = mix(), draw(5, 4), torch.tensor([0, 3, 1, 2, 0])
    total = functools.partial(F.cross_entropy, reduction="sum")
    close(mx.loss(total, output, target), total(output, mx.dense(target, 4).double()))


def test_function_of_one_loss_a_sample():
    mx, output, target = mix(), draw(5), draw(5, seed=1)
    expected = (mx.matrix().double() * (output[:, None] - target[None, :]).abs()).sum(1).mean()
    close(mx.loss(lambda output, target: (output - target).abs(), output, target), expected)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_modules_of_any_reduction_stay_as_they_were(reduction):
    mx, output, target = mix(), draw(5, 4), torch.tensor([0, 3, 1, 2, 0])
    criterion = nn.CrossEntropyLoss(reduction=reduction, label_smoothing=0.1)
    each = F.cross_entropy(output, mx.dense(target, 4).double(), reduction="none", label_smoothing=0.1)
    close(mx.loss(criterion, output, target), {"sum": each.sum(), "mean": each.mean(), "none": each}[reduction])
    assert criterion.reduction == reduction


def test_batchmean():
    mx, output, target = mix(), draw(5, 4).log_softmax(1), draw(5, 4, seed=1).softmax(1)
    each = F.kl_div(output[:, None].expand(5, 5, 4), target.expand(5, 5, 4), reduction="none").sum(2)
    close(mx.loss(nn.KLDivLoss(reduction="batchmean"), output, target), (mx.matrix() * each).sum() / 5)


def test_binary_cross_entropy_of_many_labels():
    mx, output, target = mix(), draw(5, 4), (draw(5, 4, seed=1) > 0).double()
    expected = F.binary_cross_entropy_with_logits(output, mx.dense(target))
    close(mx.loss(F.binary_cross_entropy_with_logits, output, target), expected)
    close(mx.loss(nn.BCEWithLogitsLoss(), output, target), expected)


@pytest.mark.parametrize("criterion", [F.mse_loss, nn.MSELoss()], ids=["function", "module"])
def test_squared_error(criterion):
    mx, output, target = mix(), draw(5, 2), draw(5, 2, seed=1)
    each = (output[:, None] - target[None]).square().mean(2)
    close(mx.loss(criterion, output, target), (mx.matrix() * each).sum(1).mean())


def test_segmentation():
    mx, output = mix(), draw(5, 3, 4, 4)
    target = torch.randint(3, (5, 4, 4), generator=torch.Generator().manual_seed(0))
    soft = torch.einsum("ij,jhwc->ichw", mx.matrix().double(), F.one_hot(target, 3).double())
    close(mx.loss(F.cross_entropy, output, target), F.cross_entropy(output, soft))


def test_loss_has_a_gradient():
    output = draw(5, 4).requires_grad_()
    mix().loss(F.cross_entropy, output, torch.tensor([0, 3, 1, 2, 0])).backward()
    assert bool(output.grad.abs().sum() > 0)


def test_accuracy_counts_the_weight_on_the_predicted_class():
    mx = Mixture.pair(torch.tensor([1, 0, 2]), torch.tensor([0.9, 0.6, 0.5]))
    target = torch.tensor([0, 1, 2])
    output = torch.eye(3)[[1, 1, 2]]  # the partner's class, the own class, and a row that is its own partner
    close(mx.accuracy(output, target), torch.tensor((0.1 + 0.6 + 1.0) / 3))
    close(mx.accuracy(output, torch.eye(3)[target]), torch.tensor((0.1 + 0.6 + 1.0) / 3))


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda mx: mx.then(mix(4)), r"Mixture\.then: other: expected a mixture of 5 rows, got 4 rows"),
        (lambda mx: mx.dense(torch.zeros(4, 3)), r"Mixture\.dense: target: expected a tensor of 5 rows, got shape \(4, 3\)"),
        (lambda mx: mx.dense([0] * 5, 3), r"Mixture\.dense: target: expected a tensor of 5 rows, got list"),
        (lambda mx: mx.dense(torch.tensor(1), 3), r"expected a tensor of 5 rows, got shape \(\)"),
        (lambda mx: mx.dense(torch.zeros(5).long()), r"Pass num_classes=\.\.\. for class indices"),
        (lambda mx: mx.dense(torch.arange(5), 4), r"expected class indices in \[0, 4\), got 0 to 4"),
        (lambda mx: mx.dense(torch.arange(5) - 1, 4), r"expected class indices in \[0, 4\), got -1 to 3"),
        (lambda mx: mx.dense(torch.zeros(5), 4), r"got torch\.float32 of shape \(5,\) with num_classes=4"),
        (lambda mx: mx.dense(torch.zeros(5, 3), 4), r"shape \(5, 3\) with num_classes=4"),
        (lambda mx: mx.dense(torch.zeros(5, 3, 2)), r"shape \(5, 3, 2\)"),
        (
            lambda mx: mx.loss(F.cross_entropy, torch.zeros(4, 3), torch.zeros(5).long()),
            r"Mixture\.loss: output: expected.*5 rows",
        ),
        (
            lambda mx: mx.loss(F.cross_entropy, torch.zeros(5, 3), torch.zeros(4).long()),
            r"Mixture\.loss: target: expected.*5 rows",
        ),
        (lambda mx: mx.loss(lambda o, t: (o - t).mean(), torch.zeros(5), torch.zeros(5)), r"Pass it with reduction='none'"),
        (lambda mx: mx.accuracy(torch.zeros(5, 3), torch.zeros(4).long()), r"Mixture\.accuracy: target"),
        (lambda mx: mx.accuracy(torch.zeros(5, 3, 2), torch.zeros(5).long()), r"expected scores \(B, L\)"),
        (lambda mx: mx.accuracy(torch.zeros(5, 3), torch.zeros(5, 1).long()), r"expected targets \(B,\) or \(B, 3\)"),
    ],
)
def test_refusals(attempt, message):
    with pytest.raises(FeatmixError, match=message):
        attempt(mix())


def test_loss_of_an_empty_batch_is_refused():
    with pytest.raises(FeatmixError, match="an empty batch"):
        Mixture.identity(0).loss(F.cross_entropy, torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))


def two_beyond():
    """Rows 0 and 1 of the batch, and two labels that are not in it."""
    index = torch.tensor([[0, 2], [1, 3]])
    return Mixture(index, torch.tensor([[0.75, 0.25], [0.5, 0.5]]), beyond=torch.tensor([2, 0]))


def test_labels_from_beyond_the_batch():
    mx, target = two_beyond(), torch.tensor([0, 1])
    expected = torch.tensor([[0.75, 0.0, 0.25], [0.5, 0.5, 0.0]])
    torch.testing.assert_close(mx.dense(target, 3), expected)
    output = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mx.loss(F.cross_entropy, output, target), F.cross_entropy(output, expected))
    torch.testing.assert_close(mx.accuracy(output, target), expected.gather(1, output.argmax(1, keepdim=True)).mean())
    assert mx.matrix().tolist() == [[0.75, 0.0, 0.25, 0.0], [0.0, 0.5, 0.0, 0.5]]
    with pytest.raises(FeatmixError, match="targets like those beyond the batch"):
        mx.dense(torch.tensor([0.0, 1.0]))


def test_mixtures_with_labels_from_beyond_compose():
    target = torch.tensor([0, 1])
    first, second = (
        two_beyond(),
        Mixture(torch.tensor([[1, 2], [0, 2]]), torch.tensor([[0.5, 0.5], [0.25, 0.75]]), beyond=torch.tensor([2])),
    )
    composed = first.then(second).dense(target, 3)
    after_first, eye = first.dense(target, 3), torch.eye(3)
    expected = torch.stack([0.5 * after_first[1] + 0.5 * eye[2], 0.25 * after_first[0] + 0.75 * eye[2]])
    torch.testing.assert_close(composed, expected)
    swap = Mixture.pair(torch.tensor([1, 0]), torch.zeros(2))
    torch.testing.assert_close(first.then(swap).dense(target, 3), after_first[[1, 0]])
    torch.testing.assert_close(swap.then(first).dense(target, 3), torch.tensor([[0.0, 0.75, 0.25], [1.0, 0.0, 0.0]]))


def test_scale_multiplies_the_loss_and_nothing_else():
    plain = Mixture.pair(torch.tensor([1, 0]), torch.tensor([0.5, 0.25]))
    scaled = Mixture(plain.index, plain.weight, scale=torch.tensor([2.0, 1.0]))
    output, target = torch.tensor([[1.0, 0.0], [0.5, 2.0]]), torch.tensor([0, 1])
    rows = F.cross_entropy(output, plain.dense(target, 2), reduction="none")
    torch.testing.assert_close(scaled.loss(F.cross_entropy, output, target), (2 * rows[0] + rows[1]) / 2)
    assert torch.equal(scaled.dense(target, 2), plain.dense(target, 2))
    assert scaled.then(scaled).scale.tolist() == [4.0, 1.0]
    assert plain.then(scaled).scale is scaled.scale
    assert scaled.to("cpu").scale.tolist() == [2.0, 1.0]
    with pytest.raises(FeatmixError, match="scale: expected float32"):
        Mixture(plain.index, plain.weight, scale=torch.ones(3))


WRONG = {
    "index past the batch": (torch.tensor([[0, 2], [1, 0]]), torch.tensor([[0.5, 0.5], [0.5, 0.5]]), "rows of a batch of 2"),
    "index below 0": (torch.tensor([[0, -1], [1, 0]]), torch.tensor([[0.5, 0.5], [0.5, 0.5]]), "rows of a batch of 2"),
    "shares past 1": (torch.tensor([[0, 1], [1, 0]]), torch.tensor([[0.9, 0.5], [0.5, 0.5]]), "add up to 1 in each row"),
    "shares below 0": (torch.tensor([[0, 1], [1, 0]]), torch.tensor([[1.5, -0.5], [0.5, 0.5]]), "shares from 0 up"),
    "no number": (torch.tensor([[0, 1], [1, 0]]), torch.tensor([[float("nan"), 0.5], [0.5, 0.5]]), "shares from 0 up"),
    "float64": (torch.tensor([[0], [1]]), torch.ones(2, 1, dtype=torch.float64), r"weight \(B, K\) float32"),
    "int32": (torch.tensor([[0], [1]], dtype=torch.int32), torch.ones(2, 1), r"index \(B, K\) int64"),
    "other shapes": (torch.tensor([[0], [1]]), torch.ones(2, 2), r"index \(B, K\) int64 and weight \(B, K\) float32"),
    "one axis": (torch.tensor([0, 1]), torch.ones(2), r"index \(B, K\) int64"),
}


@pytest.mark.parametrize(("index", "weight", "expected"), WRONG.values(), ids=WRONG)
def test_what_a_user_puts_together_is_checked_and_what_the_library_makes_is_not(index, weight, expected):
    with pytest.raises(FeatmixError, match=f"Mixture: .*{expected}"):
        Mixture(index, weight)
    unchecked = made(index, weight)
    assert unchecked.index is index
    assert unchecked.weight is weight
    assert (unchecked.beyond, unchecked.scale) == (None, None)


def test_pair_is_checked_too_for_users_call_it():
    with pytest.raises(FeatmixError, match="rows of a batch of 2"):
        Mixture.pair(torch.tensor([1, 2]), torch.tensor([0.5, 0.5]))
    with pytest.raises(FeatmixError, match="add up to 1"):
        Mixture.pair(torch.tensor([1, 0]), torch.tensor([1.5, 0.5]))


def test_what_is_composed_and_moved_is_not_checked_again(monkeypatch):
    first, second = mix(seed=1), two_beyond()
    monkeypatch.setattr(Mixture, "__post_init__", lambda self: pytest.fail("checked again"))
    first.then(first).then(first).to("meta")
    second.then(Mixture.identity(2)).to("meta")
    CutMix().make_params((4, 3, 8, 8)).to("meta").idle()
    MoEx(memory=2).training_params((2, 3, 4, 4), target=torch.tensor([0, 1]))


def test_an_accelerator_is_not_waited_for():
    """Values are looked at on the host alone: elsewhere that would read them off the device."""
    Mixture(torch.empty(2, 2, dtype=torch.int64, device="meta"), torch.empty(2, 2, device="meta"))
