"""Label maps through ``mix.loss``: a perfect prediction of the map that the boxes made costs nothing."""

import functools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm
from featmix.mixer.maps import in_steps

CLASSES, SIZE = 5, 8
IMAGES = torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
MAPS = torch.randint(CLASSES, (4, SIZE, SIZE), generator=torch.Generator().manual_seed(1))
SOFT = F.one_hot(MAPS, CLASSES).movedim(-1, 1).float()


class Segmenter(nn.Module):
    """Half the resolution inside, the whole one at the end; ``skip`` bypasses the site."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.head = nn.Sequential(nn.Conv2d(4, CLASSES, 1), nn.Upsample(scale_factor=2))
        self.skip = False

    def forward(self, x):
        return self.head(x[:, :1, ::2, ::2].expand(-1, 4, -1, -1) if self.skip else self.body(x))


def step(tree, seed=0, **attached):
    """A step's decision, after a forward."""
    torch.manual_seed(0)
    model = Segmenter()
    mixer = fm.attach(model, tree, example=IMAGES, seed=seed, **attached)
    mix = mixer.draw(IMAGES)
    model(IMAGES)
    return mix


def perfect(maps):
    """The logits of a model that is certain, and right."""
    return 50 * F.one_hot(maps.clamp(min=0), CLASSES).movedim(-1, 1).float()


def cut(params, maps):
    """The map that boxes make, by hand, at the resolution of the map."""
    factor, mixed = maps.shape[-1] // params.sizes[-1], maps.clone()
    for i, ((top, bottom), (left, right)) in enumerate((params.box * factor).tolist()):
        mixed[i, ..., top:bottom, left:right] = maps[params.partner[i], ..., top:bottom, left:right]
    return mixed


@pytest.mark.parametrize("site", ["input", "body"])
def test_a_perfect_prediction_of_the_cut_map_costs_nothing(site):
    for seed in range(5):
        mix = step({site: fm.CutMix()}, seed)
        mixed = cut(mix.params[site], MAPS)
        assert float(mix.loss(F.cross_entropy, perfect(mixed), MAPS)) < 1e-6
        assert float(mix.loss(nn.CrossEntropyLoss(torch.arange(1.0, 6)), perfect(mixed), MAPS)) < 1e-6
        if not torch.equal(mixed, MAPS):
            assert float(mix.loss(F.cross_entropy, perfect(MAPS), MAPS)) > 1
            return
    pytest.fail("no box")


def sharp(tree, site="input"):
    """A decision whose box changes the map."""
    return next(mix for mix in (step(tree, seed) for seed in range(20)) if not torch.equal(cut(mix.params[site], MAPS), MAPS))


def test_the_criterion_gets_the_map_with_what_is_ignored():
    mix = sharp({"input": fm.CutMix()})
    output, maps = torch.randn(4, CLASSES, SIZE, SIZE), torch.where(MAPS == 2, -100, MAPS)
    mixed = cut(mix.params["input"], maps)
    assert bool((mixed == -100).any())
    torch.testing.assert_close(mix.loss(F.cross_entropy, output, maps), F.cross_entropy(output, mixed))
    voided = nn.CrossEntropyLoss(torch.arange(1.0, 6), ignore_index=2, label_smoothing=0.1)
    torch.testing.assert_close(mix.loss(voided, output, MAPS), voided(output, cut(mix.params["input"], MAPS)))
    rows = nn.CrossEntropyLoss(reduction="none")
    assert mix.loss(rows, output, MAPS).shape == MAPS.shape
    byte = mix.loss(F.cross_entropy, output, MAPS.byte())
    torch.testing.assert_close(byte, mix.loss(F.cross_entropy, output, MAPS))


def dice(output, target):
    """One number for the batch, as losses of overlap are."""
    hot = F.one_hot(target, CLASSES).movedim(-1, 1)
    return 1 - 2 * (output.softmax(1) * hot).sum() / (output.softmax(1) + hot).sum()


def test_a_criterion_of_one_number():
    mix, output = sharp({"input": fm.CutMix()}), torch.randn(4, CLASSES, SIZE, SIZE)
    torch.testing.assert_close(mix.loss(dice, output, MAPS), dice(output, cut(mix.params["input"], MAPS)))


@pytest.mark.parametrize("target", [SOFT, SOFT.bool(), SOFT[:, :1], SOFT[:, 0]], ids=["soft", "bool", "one class", "alone"])
def test_maps_of_several_kinds(target):
    mix = sharp({"input": fm.CutMix()})
    output = torch.randn(target.shape)
    mixed = cut(mix.params["input"], target).float()

    def criterion(output, target):
        return F.binary_cross_entropy_with_logits(output, target.float())

    torch.testing.assert_close(mix.loss(criterion, output, target), criterion(output, mixed))
    if target.is_floating_point():
        torch.testing.assert_close(mix.loss(F.mse_loss, output, target), F.mse_loss(output, mixed))


def test_maps_coarser_and_finer_than_the_features():
    mix = sharp({"input": fm.CutMix()})
    coarse, output = MAPS[:, ::2, ::2].contiguous(), torch.randn(4, CLASSES, SIZE // 2, SIZE // 2)
    expected = F.cross_entropy(output, cut(mix.params["input"], MAPS)[:, ::2, ::2])
    torch.testing.assert_close(mix.loss(F.cross_entropy, output, coarse), expected)
    fine = MAPS.repeat_interleave(3, 1).repeat_interleave(3, 2)
    output = torch.randn(4, CLASSES, 3 * SIZE, 3 * SIZE)
    expected = F.cross_entropy(output, cut(mix.params["input"], fine))
    torch.testing.assert_close(mix.loss(F.cross_entropy, output, fine), expected)


def test_strategies_without_places_weigh_maps():
    output = torch.randn(4, CLASSES, SIZE, SIZE)
    for strategy in (fm.Mixup(), fm.MoEx(lam=0.75)):
        mix = step({"body": strategy})
        (params,) = mix.params.values()
        lam, each = params.mixture.weight[:, :1, None], functools.partial(F.cross_entropy, reduction="none")
        expected = lam * each(output, MAPS) + (1 - lam) * each(output, MAPS[params.partner])
        torch.testing.assert_close(mix.loss(F.cross_entropy, output, MAPS), expected.mean())


def test_boxes_first_and_shares_after_them():
    mix = sharp({"input": fm.CutMix(), "body": fm.MoEx(lam=0.75)})
    mixed, partner = cut(mix.params["input"], MAPS), mix.params["body"].partner
    output = torch.randn(4, CLASSES, SIZE, SIZE)
    expected = 0.75 * F.cross_entropy(output, mixed) + 0.25 * F.cross_entropy(output, mixed[partner])
    torch.testing.assert_close(mix.loss(F.cross_entropy, output, MAPS), expected)
    expected = 0.75 * dice(output, mixed) + 0.25 * dice(output, mixed[partner])
    torch.testing.assert_close(mix.loss(dice, output, MAPS), expected)


def test_nothing_is_read_off_the_device():
    """Tensors on ``meta`` have no values: reading one is an error."""
    model = nn.Conv2d(3, CLASSES, 1).to("meta")
    x, y = IMAGES.to("meta"), MAPS.to("meta")
    with fm.attach(model, fm.Compose([fm.At("input", fm.CutMix()), fm.At("input", fm.MoEx("in"))]), seed=0) as mixer:
        mix, output = mixer.draw(x), model(x)
        for criterion in (F.cross_entropy, nn.CrossEntropyLoss(ignore_index=2), dice):
            assert mix.loss(criterion, output, y).shape == ()


def test_shares_before_boxes_are_refused():
    mix = step(fm.Compose([fm.At("input", fm.Mixup()), fm.At("input", fm.CutMix())]))
    with pytest.raises(fm.FeatmixError, match="cutmix before strategies whose label shares have no place"):
        mix.loss(F.cross_entropy, torch.randn(4, CLASSES, SIZE, SIZE), MAPS)


def test_two_boxes_at_two_resolutions():
    mix = step({"input": fm.CutMix(), "body": fm.CutMix()}, seed=3)
    output, mixed = torch.randn(4, CLASSES, SIZE, SIZE), cut(mix.params["body"], cut(mix.params["input"], MAPS))
    torch.testing.assert_close(mix.loss(F.cross_entropy, output, MAPS), F.cross_entropy(output, mixed))
    assert torch.equal(mix.dense_targets(MAPS), mixed)


def test_rows_that_count_twice_do_so_for_maps():
    mix, output = sharp({"input": fm.CutMix(loss_weight=2.0)}), torch.randn(4, CLASSES, SIZE, SIZE)
    expected = 2 * F.cross_entropy(output, cut(mix.params["input"], MAPS))
    torch.testing.assert_close(mix.loss(F.cross_entropy, output, MAPS), expected)


def test_places_of_single_channels_are_refused():
    with pytest.raises(fm.FeatmixError, match="treats all channels of a position alike"):
        step({"body": fm.PatchUp(block_size=1)}).loss(F.cross_entropy, torch.randn(4, CLASSES, SIZE, SIZE), MAPS)


@pytest.mark.parametrize("tree", [{"input": fm.CutMix(p=0.0)}, {"body": fm.MixStyle(p=1.0)}], ids=["p = 0", "labels stay"])
def test_where_labels_stay_the_map_does(tree):
    output = torch.randn(4, CLASSES, SIZE, SIZE)
    torch.testing.assert_close(step(tree).loss(F.cross_entropy, output, MAPS), F.cross_entropy(output, MAPS))


def test_in_eval_mode():
    model = Segmenter().eval()
    with fm.attach(model, {"input": fm.CutMix()}) as mixer:
        mix, output = mixer.draw(IMAGES), model(IMAGES)
        assert torch.equal(mix.loss(dice, output, MAPS), dice(output, MAPS))
        torch.testing.assert_close(mix.loss(F.cross_entropy, output, MAPS), F.cross_entropy(output, MAPS))


SHAPES = {  # output, target: not maps of 8 x 8 positions, and nothing says that they are not
    "key points": ((4, 6, 2), (4, 6, 2)),
    "a matrix": ((4, 4, 4), (4, 4, 4)),
    "patches in a row": ((4, CLASSES, 16), (4, 16)),
    "a crop": ((4, CLASSES, 5, 5), (4, 5, 5)),
    "another proportion": ((4, CLASSES, 8, 4), (4, 8, 4)),
    "frames": ((4, CLASSES, 3, 8, 8), (4, 3, 8, 8)),
}


@pytest.mark.parametrize(("out", "shape"), SHAPES.values(), ids=SHAPES)
def test_what_could_be_either_is_refused_until_it_is_said(out, shape):
    mix = step({"input": fm.CutMix()})
    output = torch.randn(out)
    indices = len(out) != len(shape)
    target = torch.randint(CLASSES, shape) if indices else torch.randn(shape)
    criterion = F.cross_entropy if indices else F.mse_loss
    with pytest.raises(fm.FeatmixError, match=r"label_map=False to weigh.*label_map=True"):
        mix.loss(criterion, output, target)
    weighed = mix.loss(criterion, output, target, label_map=False)
    torch.testing.assert_close(weighed, mix.mixture.loss(criterion, output, target))


def test_said_to_be_a_map():
    mix = sharp({"input": fm.CutMix()})
    output, crop = torch.randn(4, CLASSES, 5, 5), MAPS[:, :5, :5]
    expected = F.cross_entropy(output, mix.dense_targets(crop))
    torch.testing.assert_close(mix.loss(F.cross_entropy, output, crop, label_map=True), expected)


@pytest.mark.parametrize(
    ("output", "target"),
    [
        (torch.randn(4, CLASSES), torch.arange(4)),
        (torch.randn(4, CLASSES), torch.rand(4, CLASSES)),
        (torch.randn(4, SIZE), torch.rand(4, SIZE)),
        (torch.randn(4, 1, 1, 1), torch.rand(4, 1, 1, 1)),
        (torch.randn(4, CLASSES, 1), torch.randint(CLASSES, (4, 1))),
    ],
    ids=["indices", "several labels", "as many as a side", "one position", "one index"],
)
def test_labels_of_whole_samples_are_weighed(output, target):
    mix = sharp({"input": fm.CutMix()})
    criterion = F.mse_loss if target.is_floating_point() else F.cross_entropy
    torch.testing.assert_close(mix.loss(criterion, output, target), mix.mixture.loss(criterion, output, target))


def test_sequences():
    x, y = torch.randn(4, 2, 12), torch.randint(CLASSES, (4, 12))
    model = nn.Conv1d(2, CLASSES, 1)
    with fm.attach(model, {"input": fm.CutMix(layout="bct")}, seed=1) as mixer:
        mix = mixer.draw(x)
        output, mixed = model(x), mix.dense_targets(y)
        assert not torch.equal(mixed, y)
        torch.testing.assert_close(mix.loss(F.cross_entropy, output, y), F.cross_entropy(output, mixed))
        with pytest.raises(fm.FeatmixError, match="label_map=False"):  # twelve labels, or one for each of twelve frames
            mix.loss(F.mse_loss, output[:, 0], torch.rand(4, 12))
        labels = torch.rand(4, 7)
        weighed = mix.mixture.loss(F.mse_loss, output[:, 0, :7], labels)
        torch.testing.assert_close(mix.loss(F.mse_loss, output[:, 0, :7], labels), weighed)


@pytest.mark.parametrize("way", ["loss", "dense_targets"])
def test_a_segmentation_step_asks_whether_all_sites_fired(way):
    model = Segmenter()
    mixer = fm.attach(model, {"body": fm.CutMix()}, example=IMAGES, seed=0)
    mix = mixer.draw(IMAGES)
    assert mix.dense_targets(MAPS).shape == MAPS.shape  # the forward is still to come
    model.skip = True
    with pytest.raises(fm.FeatmixError, match="a module that the forward pass calls"):
        model(IMAGES)
    with pytest.raises(fm.FeatmixError, match="a module that the forward pass calls"):
        mix.dense_targets(MAPS) if way == "dense_targets" else mix.loss(F.cross_entropy, SOFT, MAPS)


def test_a_forward_that_was_forgotten():
    model = Segmenter()
    mix = fm.attach(model, {"input": fm.CutMix()}, seed=0).draw(IMAGES)
    with pytest.raises(fm.FeatmixError, match="a training forward"):
        mix.loss(F.cross_entropy, SOFT, MAPS)


@pytest.mark.parametrize(
    ("fine", "coarse", "fits"),
    [
        ((33, 65), (17, 33), True),
        ((33, 65), (16, 32), True),
        ((33, 65), (17, 32), False),
        ((572, 572), (388, 388), False),
        ((224, 224), (7, 7), True),
        ((8, 8), (8, 4), False),
    ],
)
def test_strides_and_poolings(fine, coarse, fits):
    assert in_steps(fine, coarse) is in_steps(coarse, fine) is fits
