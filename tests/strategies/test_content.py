import pytest
import torch
from torch import nn

import featmix as fm
from featmix.strategies.content import nearest


def images_of(label_map):
    return label_map.unsqueeze(1).float().expand(-1, 3, -1, -1).clone()


def label_maps(batch=4, size=8, seed=0):
    return torch.randint(0, 5, (batch, size, size), generator=torch.Generator().manual_seed(seed))


class Segmenter(nn.Module):
    """Halves the resolution, and hands its hidden features out."""

    def __init__(self):
        super().__init__()
        self.pool, self.last = nn.MaxPool2d(2), nn.Identity()

    def forward(self, x):
        return self.last(self.pool(x))


def test_maps_go_the_way_of_the_images_through_all_sites():
    maps = label_maps()
    maps = nearest(nearest(maps.unsqueeze(1), [4, 4]), [8, 8]).squeeze(1)  # alike in blocks, so that pooling keeps labels
    model = Segmenter()
    mixer = fm.attach(model, {"input": fm.CutMix(), "pool": fm.CutMix()}, example=images_of(maps), seed=3)
    changed = 0
    for _ in range(5):
        mix = mixer.draw(images_of(maps))
        mixed = mix.dense_targets(maps)
        hidden = model(images_of(maps))
        box = mix.params["input"].box
        if bool((box % 2 == 0).all()):  # the box at the input keeps blocks whole: the map must agree at both resolutions
            assert torch.equal(nearest(mixed.unsqueeze(1), [4, 4]).float(), hidden[:, :1])
        changed += int((mixed != maps).any())
    assert changed > 0


def test_boxes_of_a_hidden_site_are_taken_to_the_resolution_of_the_map():
    maps = label_maps()
    cutmix = fm.CutMix()
    params = cutmix.make_params((4, 16, 4, 4), generator=torch.Generator().manual_seed(1))
    mixed = cutmix.dense_targets(maps, params)
    y0, y1, x0, x1 = (2 * params.box[0]).flatten().tolist()
    expected = maps.clone()
    expected[:, y0:y1, x0:x1] = maps[params.partner][:, y0:y1, x0:x1]
    assert torch.equal(mixed, expected)
    assert (y1 - y0) * (x1 - x0) > 0


@pytest.mark.parametrize(
    "make", [lambda m: m, lambda m: torch.nn.functional.one_hot(m, 5).movedim(-1, 1).float(), lambda m: m.byte()]
)
def test_every_kind_of_map(make):
    maps, cutmix = label_maps(), fm.CutMix()
    params = cutmix.make_params((4, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    given = make(maps)
    before, mixed = given.clone(), cutmix.dense_targets(given, params)
    assert mixed.dtype == given.dtype
    assert mixed.shape == given.shape
    assert torch.equal(given, before)
    assert torch.equal(mixed, make(cutmix.dense_targets(maps, params)))


def test_idle_rows_and_padding_keep_their_map():
    maps, cutmix = label_maps(batch=16), fm.CutMix(per="sample", p=0.5)
    mask = torch.ones(16, 8, 8, dtype=torch.bool)
    mask[:, :, 5:] = False
    params = cutmix.make_params((16, 3, 8, 8), generator=torch.Generator().manual_seed(0), mask=mask)
    assert 0 < int(params.active.sum()) < 16
    mixed = cutmix.dense_targets(maps, params)
    assert torch.equal(mixed[~params.active], maps[~params.active])
    assert torch.equal(mixed[~mask], maps[~mask])
    assert torch.equal(mixed.float(), cutmix.transform(images_of(maps), params)[:, 0])


def test_strategies_that_leave_labels_alone_leave_maps_alone():
    maps, mixstyle = label_maps(), fm.MixStyle(p=1.0)
    assert mixstyle.dense_targets(maps, mixstyle.make_params((4, 3, 8, 8))) is maps


@pytest.mark.parametrize("strategy", [fm.Mixup(), fm.MoEx()], ids=lambda s: s.name)
def test_shares_without_a_place_are_refused(strategy):
    with pytest.raises(fm.FeatmixError, match="dense_targets: expected a strategy that says which position comes from where"):
        strategy.dense_targets(label_maps(), strategy.make_params((4, 3, 8, 8)))


@pytest.mark.parametrize(
    "maps", [label_maps(batch=3), torch.zeros(4), torch.zeros(4, 8), "maps"], ids=["batch", "1-D", "2-D", "str"]
)
def test_maps_that_do_not_fit_are_refused(maps):
    with pytest.raises(fm.FeatmixError, match="target_map: expected label maps"):
        fm.CutMix().dense_targets(maps, fm.CutMix().make_params((4, 3, 8, 8)))


def test_in_eval_mode_maps_stay():
    model = Segmenter().eval()
    mixer = fm.attach(model, {"input": fm.Mixup()})
    maps = label_maps()
    assert mixer.draw(images_of(maps)).dense_targets(maps) is maps


def test_sequences_have_maps_too():
    cutmix, labels = fm.CutMix(layout="btc"), label_maps(size=6)[:, 0]
    params = cutmix.make_params((4, 6, 2), generator=torch.Generator().manual_seed(0))
    x = labels.unsqueeze(2).float().expand(-1, -1, 2)
    assert torch.equal(cutmix.dense_targets(labels, params).float(), cutmix.transform(x, params)[..., 0])
