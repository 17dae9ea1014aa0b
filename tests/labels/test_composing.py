import pytest
import torch
from torch import Generator, nn

import featmix as fm
from featmix.errors import FeatmixWarning
from featmix.labels.composing import composed

BATCH = 6


def marked(shape):
    """For each sample a batch in which it alone is 1."""
    for sample in range(shape[0]):
        x = torch.zeros(shape)
        x[sample] = 1
        yield x


def labels_after(*decisions):
    """What is left of the labels after decisions ``(place, strategy, params)``."""
    return composed(BATCH, (strategy.label_step(place, params) for place, strategy, params in decisions))


def test_an_attached_model_sees_what_the_labels_say():
    model = nn.Sequential(nn.Identity(), nn.Identity())
    tree = fm.Compose([fm.At("input", fm.CutMix()), fm.At("input", fm.Mixup()), fm.At("input", fm.FMix())])
    for seed in range(5):
        shape, found = (BATCH, 3, 8, 8), []
        for x in marked(shape):
            with fm.attach(model, tree, seed=seed) as mixer:
                mix = mixer.draw(x)
                found.append(model(x).mean((1, 2, 3)))
        assert torch.allclose(torch.stack(found, dim=1), mix.mixture.matrix(), atol=1e-6)


def test_shares_multiply_where_nothing_has_a_place():
    mixup, moex, shape = fm.Mixup(), fm.MoEx("pono"), (BATCH, 3, 4, 4)
    one, two = (s.make_params(shape, generator=Generator().manual_seed(k)) for k, s in enumerate((mixup, moex)))
    expected = one.mixture.then(two.mixture)
    found = labels_after(("input", mixup, one), ("input", moex, two))
    assert torch.equal(found.matrix(), expected.matrix())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (fm.CutMix(), fm.CutMix()),
        (fm.ResizeMix(), fm.FMix()),
        (fm.FMix(), fm.PatchUp("hard", block_size=3)),
        (fm.PatchUp("soft", block_size=3), fm.ResizeMix()),
    ],
    ids=lambda strategy: strategy.name,
)
def test_between_two_places_boxes_are_followed(first, second):
    """Pooling keeps the grid: what is in a row is seen exactly."""
    tree = {"input": first, "0": fm.Mixup(), "1": second}
    for seed in range(4):
        found = []
        for x in marked((BATCH, 3, 16, 12)):
            model = nn.Sequential(nn.Identity(), nn.AvgPool2d(2), nn.AvgPool2d(2))
            with fm.attach(model, tree, example=x, seed=seed) as mixer:
                mix = mixer.draw(x)
                found.append(model(x).mean((1, 2, 3)))
        found = torch.stack(found, dim=1)
        assert torch.allclose(found, mix.mixture.matrix(), atol=1e-5)
        assert not torch.allclose(found, torch.eye(BATCH))


def test_boxes_under_padding_are_followed_between_two_places():
    strategy, shape = fm.CutMix(layout="btc"), (BATCH, 12, 2)
    lengths = torch.tensor([12, 8, 4, 2, 0, 10])
    mask, coarse = torch.arange(12) < lengths.view(-1, 1), torch.arange(6) < (lengths // 2).view(-1, 1)
    for seed in range(10):
        generator = Generator().manual_seed(seed)
        one = strategy.make_params(shape, generator=generator, mask=mask)
        two = strategy.make_params((BATCH, 6, 2), generator=generator, mask=coarse)
        found = []
        for x in marked(shape):
            y = (strategy.transform(x, one) * mask.unsqueeze(2)).unflatten(1, (6, 2)).sum(2)
            y = strategy.transform(y / mask.unflatten(1, (6, 2)).sum(2).clamp(min=1).unsqueeze(2), two)
            found.append((y * coarse.unsqueeze(2)).sum((1, 2)) / (lengths.clamp(min=2)))
        said = labels_after(("input", strategy, one), ("layer1", strategy, two)).matrix()
        assert torch.allclose(torch.stack(found, dim=1)[lengths > 0], said[lengths > 0], atol=1e-6)


def test_grids_of_other_numbers_of_axes_multiply_and_are_warned_of():
    flat, line, shape = fm.CutMix(), fm.CutMix(layout="bct"), (BATCH, 3, 8, 8)
    one = flat.make_params(shape, generator=Generator().manual_seed(1))
    two = line.make_params((BATCH, 3, 64), generator=Generator().manual_seed(2))
    apart = labels_after(("input", flat, one), ("0", line, two))
    assert torch.equal(apart.matrix(), one.mixture.then(two.mixture).matrix())
    model, x = nn.Sequential(nn.Flatten(2)), torch.randn(shape)
    with fm.attach(model, {"input": flat, "0": line}, example=x, seed=0) as mixer:
        with pytest.warns(FeatmixWarning, match="at 'input' and '0'.*right on average"):
            mixer.draw(x)
        mixer.discard()
        mixer.draw(x)  # said once: a second warning would be an error


def test_strategies_that_leave_labels_alone_do_not_count():
    cutmix, mixstyle, shape = fm.CutMix(), fm.MixStyle(p=1.0), (BATCH, 3, 8, 8)
    one, style = cutmix.make_params(shape), mixstyle.make_params(shape)
    assert mixstyle.label_step("a", style) is None
    found = labels_after(("a", cutmix, one), ("a", mixstyle, style))
    assert torch.equal(found.matrix(), one.mixture.matrix())


def test_decisions_without_an_active_row_do_not_count():
    cutmix, shape = fm.CutMix(p=0.0), (BATCH, 3, 8, 8)
    resting = cutmix.make_params(shape)
    assert cutmix.label_step("a", resting) is None
    assert cutmix.label_step("a", fm.CutMix().make_params(shape).idle()) is None
    assert torch.equal(labels_after(("a", cutmix, resting)).matrix(), torch.eye(BATCH))


def test_how_often_rows_count_multiplies():
    patchup, shape = fm.PatchUp("hard", block_size=3), (BATCH, 3, 8, 8)
    one, two = (patchup.make_params(shape, generator=Generator().manual_seed(k)) for k in (1, 2))
    assert labels_after(("a", patchup, one), ("a", patchup, two)).scale.tolist() == [4.0] * BATCH


def test_labels_from_a_memory_stay_with_two_boxes():
    """What is not in the batch is followed too: a box may cut away some of what came from there."""
    cutmix, shape = fm.CutMix(), (BATCH, 3, 8, 8)
    for other in (fm.CutMix(memory=8, alpha=2.0), fm.Mixup(memory=8), fm.MoEx("pono", memory=8)):
        x, labels = torch.randn(shape), torch.arange(BATCH)
        other.remember(x, other.training_params(shape, target=labels))
        mixed = other.training_params(shape, generator=Generator().manual_seed(0), target=labels + 10)
        assert mixed.remembered.all()
        one, two = (cutmix.make_params(shape, generator=Generator().manual_seed(k)) for k in (1, 2))
        said = labels_after(("a", cutmix, one), ("a", other, mixed), ("a", cutmix, two))
        assert said.beyond.tolist() == mixed.mixture.beyond.tolist()
        found = []
        for marks in torch.eye(2 * BATCH):  # of the batch, then of what is remembered
            y = cutmix.transform(marks[:BATCH].view(-1, 1, 1, 1).expand(shape).contiguous(), one)
            beyond = marks[BATCH:].view(-1, 1, 1, 1).expand(shape)
            moments = isinstance(other, fm.MoEx)  # these have no places: their labels are a constant share
            y = 0.9 * y + 0.1 * beyond if moments else other.transform(y, mixed.replaced(features=beyond))
            found.append(cutmix.transform(y.contiguous(), two).mean((1, 2, 3)))
        assert torch.allclose(torch.stack(found, dim=1), said.matrix(), atol=1e-6)


@pytest.mark.parametrize("layout", ["btc", "bct"])
def test_under_padding_shares_are_those_of_real_positions(layout):
    strategy = fm.CutMix(layout=layout)
    shape = (BATCH, 9, 2) if layout == "btc" else (BATCH, 2, 9)
    lengths = torch.tensor([9, 5, 3, 1, 0, 7])
    mask = torch.arange(9) < lengths.view(-1, 1)
    at = mask.unsqueeze(2 if layout == "btc" else 1)
    for seed in range(20):
        generator = Generator().manual_seed(seed)
        one, two = (strategy.make_params(shape, generator=generator, mask=mask) for _ in range(2))
        found = []
        for x in marked(shape):
            y = strategy.transform(strategy.transform(x, one), two)
            found.append((y * at).sum((1, 2)) / (2 * lengths.clamp(min=1)))
        found, said = torch.stack(found, dim=1), labels_after(("a", strategy, one), ("a", strategy, two)).matrix()
        assert torch.allclose(found[lengths > 0], said[lengths > 0], atol=1e-6)
        assert said[4].tolist() == [0, 0, 0, 0, 1, 0]


def test_a_strategy_that_says_nothing_of_places_multiplies():
    """As a newcomer's first strategy may be: spatial, with a box that only ``act`` knows."""

    class Corner(fm.Strategy):
        tags = fm.Tags(mixes_labels=True, spatial=True, paper="")

        def decide(self, shape, draw):
            return fm.Params.of(draw, 0.75)

        def act(self, x, params):
            y = x.clone()
            y[..., :4, :4] = x[params.partner][..., :4, :4]
            return y

    corner, cutmix, shape = Corner(), fm.CutMix(), (BATCH, 3, 8, 8)
    one, two, three = corner.make_params(shape), cutmix.make_params(shape), corner.make_params(shape)
    expected = one.mixture.then(two.mixture).then(three.mixture)
    found = labels_after(("a", corner, one), ("a", cutmix, two), ("a", corner, three))
    assert torch.allclose(found.matrix(), expected.matrix())
    with fm.attach(nn.Identity(), {"input": Corner()}) as mixer:
        assert mixer.draw(torch.randn(shape)).mixture.matrix().sum() == BATCH
