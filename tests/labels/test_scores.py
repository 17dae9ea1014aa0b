"""Accuracy of mixed labels, by values, and against torchmetrics where it is installed."""

import pytest
import torch
from torch.nn import functional as F

import featmix as fm
from featmix import FeatmixError, Mixture
from tests.attaching import images, labels, net

PARTNER = torch.tensor([1, 2, 3, 0])
MX = Mixture.pair(PARTNER, torch.tensor([0.75, 0.75, 0.5, 1.0]))


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.float32])
def test_one_score_a_row_is_judged_by_the_threshold(shape, kind):
    logits, y = torch.tensor([2.0, -1.0, 0.5, -3.0]).view(shape), torch.tensor([1, 1, 0, 0]).to(kind)
    # row 0: own and partner on, predicted on: 1. row 1: own on, partner off, predicted off: 0.25
    # row 2: both off, predicted on: 0. row 3: own alone, off, predicted off: 1
    expected = torch.tensor((1 + 0.25 + 0 + 1) / 4)
    for target in (y, y.view(4, 1)):
        torch.testing.assert_close(MX.accuracy(logits, target, threshold=0.0), expected)
        torch.testing.assert_close(MX.accuracy(logits.sigmoid(), target, threshold=0.5), expected)


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_one_score_a_row_without_a_threshold_is_refused(shape):
    with pytest.raises(FeatmixError, match=r"threshold.*one score a row.*threshold=0\.0 for logits, threshold=0\.5"):
        MX.accuracy(draw(*shape), torch.tensor([1, 1, 0, 0]))


def test_several_labels_a_row_are_judged_each_by_itself():
    hot = torch.tensor([[1, 1, 0], [0, 0, 0], [1, 0, 1], [1, 1, 1]])
    scores = torch.tensor([[1.0, 1.0, -1.0], [1.0, -1.0, -1.0], [1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]])
    hits = torch.tensor([0.75 + 0.25 / 3, 0.75 * 2 / 3 + 0.25 * 2 / 3, 0.5 * 2 / 3 + 0.5, 2 / 3])
    torch.testing.assert_close(MX.accuracy(scores, hot, threshold=0.0), hits.mean())
    torch.testing.assert_close(MX.accuracy(scores, hot.float(), threshold=0.0), hits.mean())


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.float32, torch.float16])
def test_several_labels_without_a_threshold_are_refused(kind):
    hot = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 0, 0], [1, 0, 0]]).to(kind)
    with pytest.raises(FeatmixError, match="rows with several labels or none"):
        MX.accuracy(draw(4, 3), hot)
    with pytest.raises(FeatmixError, match="rows with several labels or none"):
        MX.accuracy(draw(4, 3), torch.zeros(4, 3, dtype=kind))
    one_hot = torch.eye(3).to(kind)[[0, 2, 1, 1]]
    torch.testing.assert_close(MX.accuracy(draw(4, 3), one_hot), MX.accuracy(draw(4, 3), torch.tensor([0, 2, 1, 1])))


def test_on_an_accelerator_nothing_is_read():
    there = Mixture.identity(4, "meta").accuracy(draw(4, 3).to("meta"), torch.zeros(4, 3, device="meta"))
    assert there.device.type == "meta"
    assert there.ndim == 0


def test_top_k():
    scores, y = torch.tensor([[3.0, 2.0, 1.0, 0.0]]).expand(4, 4), torch.tensor([0, 1, 2, 3])
    for k, own in enumerate(([1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]), start=1):
        hit = torch.tensor(own).float()
        expected = (MX.matrix() @ hit).mean()
        torch.testing.assert_close(MX.accuracy(scores, y, top_k=k), expected)
        torch.testing.assert_close(MX.accuracy(scores, F.one_hot(y), top_k=k), expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"top_k": 0}, "top_k: expected a whole number from 1 to 3"),
        ({"top_k": 4}, "top_k: expected a whole number from 1 to 3"),
        ({"top_k": 2.0}, "top_k"),
        ({"top_k": 2, "threshold": 0.0}, "top_k: expected 1 beside a threshold"),
        ({"threshold": "0"}, "threshold: expected a number"),
        ({"threshold": 0.0}, "Class indices are judged by the largest score"),
    ],
)
def test_refusals(given, message):
    with pytest.raises(FeatmixError, match=message):
        MX.accuracy(draw(4, 3), torch.tensor([0, 1, 2, 0]), **given)


def test_a_mix_hands_it_on():
    model, x, y = net(), images(), labels()
    with fm.attach(model, {"stem": fm.MoEx(lam=0.75)}, seed=0) as mixer:
        mix, output = mixer.draw(x, target=y), model(x)
        assert mix.accuracy(output, y, top_k=5) == 1.0
        assert torch.equal(mix.accuracy(output, y, top_k=2), mix.mixture.accuracy(output, y, top_k=2))
        found = mix.accuracy(output[:, 0], (y > 2).long(), threshold=0.0)
        assert torch.equal(found, mix.mixture.accuracy(output[:, 0], (y > 2).long(), threshold=0.0))


class TestTorchmetrics:
    """The same numbers on rows that are not mixed, and mixed ones add up by their shares."""

    @pytest.fixture
    def functions(self):
        return pytest.importorskip("torchmetrics.functional.classification", reason="torchmetrics is not installed")

    @pytest.mark.parametrize("k", [1, 2, 3])
    def test_multiclass(self, functions, k):
        scores, y = draw(64, 5), torch.arange(64) % 5
        expected = functions.multiclass_accuracy(scores, y, num_classes=5, average="micro", top_k=k)
        torch.testing.assert_close(Mixture.identity(64).accuracy(scores, y, top_k=k), expected)
        partner = torch.arange(64).roll(1)
        other = functions.multiclass_accuracy(scores, y[partner], num_classes=5, average="micro", top_k=k)
        mixed = Mixture.pair(partner, torch.full((64,), 0.75)).accuracy(scores, y, top_k=k)
        torch.testing.assert_close(mixed, 0.75 * expected + 0.25 * other)

    def test_binary_and_multilabel(self, functions):
        scores, y = draw(64).sigmoid(), torch.arange(64) % 2
        expected = functions.binary_accuracy(scores, y, threshold=0.5)
        torch.testing.assert_close(Mixture.identity(64).accuracy(scores, y, threshold=0.5), expected)
        many, hot = draw(64, 5).sigmoid(), (draw(64, 5, seed=1) > 0).long()
        expected = functions.multilabel_accuracy(many, hot, num_labels=5, average="micro", threshold=0.3)
        torch.testing.assert_close(Mixture.identity(64).accuracy(many, hot, threshold=0.3), expected)

    def test_a_value_feeds_a_metric(self):
        torchmetrics = pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
        metric, y = torchmetrics.MeanMetric(), torch.tensor([0, 1, 2, 0])
        values = [MX.accuracy(draw(4, 3, seed=seed), y) for seed in range(3)]
        for value in values:
            metric.update(value, weight=len(y))
        torch.testing.assert_close(metric.compute(), torch.stack(values).mean())
