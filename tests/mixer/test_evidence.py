"""What a model says of its axes: strategies that name none are told, and those that name others are refused."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm
from featmix import FeatmixError


class Layers(nn.Module):
    """One layer of each kind, called on features that fit it."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)


KINDS = {  # a layer, the shape of its input, and the layout of what it returns
    "conv1d": (lambda: nn.Conv1d(3, 4, 3), (5, 3, 9), "bct"),
    "transposed": (lambda: nn.ConvTranspose1d(3, 4, 3), (5, 3, 9), "bct"),
    "pointwise": (lambda: nn.Conv1d(3, 4, 1), (5, 3, 9), "bcn"),
    "batchnorm1d": (lambda: nn.BatchNorm1d(3), (5, 3, 9), "bcn"),
    "groupnorm": (lambda: nn.GroupNorm(1, 3), (5, 3, 9), "bcn"),
    "conv2d": (lambda: nn.Conv2d(3, 4, 3), (5, 3, 9, 9), "bchw"),
    "conv3d": (lambda: nn.Conv3d(3, 4, 1), (5, 3, 4, 4, 4), "bcdhw"),
    "linear": (lambda: nn.Linear(3, 4), (5, 6, 7, 3), "bhwc"),
    "linear of tokens": (lambda: nn.Linear(3, 4), (5, 6, 3), "bnc"),
    "linear of rows": (lambda: nn.Linear(3, 4), (5, 3), "bc"),
    "layernorm": (lambda: nn.LayerNorm(3), (5, 6, 7, 3), "bhwc"),
    "embedding": (lambda: nn.Embedding(9, 4), (5, 6), "bnc"),
    "gru": (lambda: nn.GRU(3, 4, batch_first=True), (5, 6, 3), "bnc"),  # its first output
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("known", [False, True], ids=["no example", "example"])
def test_a_layer_says_where_its_channels_are(name, known):
    make, shape, layout = KINDS[name]
    model = Layers(make()).train()
    x = torch.randint(9, shape) if name == "embedding" else torch.randn(shape, generator=torch.Generator().manual_seed(0))
    clean = model(x)
    clean = clean[0] if isinstance(clean, tuple) else clean
    given = fm.Mixup(lam_per="sample") if layout == "bc" else fm.MoEx("ln" if name == "layernorm" else "pono")
    leaf = fm.At("layer", given, output=0 if name == "gru" else None)
    with fm.attach(model, leaf, example=x if known else None, seed=0) as mixer:
        mix = mixer.draw(x, target=torch.arange(5))
        y = model(x)
    y = y[0] if isinstance(y, tuple) else y
    expected = fm.create(given.name, **{**given.settings(), "layout": layout}).transform(clean, mix.params["layer"])
    torch.testing.assert_close(y, expected)
    assert given.layout is None  # what was given stays as it is


def test_boxes_are_cut_along_the_axis_of_time():
    model = nn.Sequential(nn.Conv1d(3, 4, 3, padding=1), nn.ReLU())
    x = torch.randn(4, 3, 12)
    with fm.attach(model, {"0": fm.CutMix()}, example=x, seed=0) as mixer:
        assert mixer.draw(x, target=torch.arange(4)).params["0"].sizes == (12,)
        mixer.discard()


@pytest.mark.parametrize(
    ("layer", "layout", "name"),
    [
        (nn.Conv1d(3, 4, 3), "bnc", "bcn"),
        (nn.BatchNorm1d(3), "btc", "bct"),
        (nn.Conv2d(3, 4, 3), "bhwc", "bchw"),
        (nn.Linear(3, 4), "bchw", "bhwc"),
        (nn.LayerNorm(3), "bcn", "bnc"),
        (nn.Conv3d(3, 4, 3), "btchw", "bcthw"),
    ],
    ids=repr,
)
def test_a_layout_that_a_layer_contradicts_is_refused(layer, layout, name):
    message = rf"MoEx: layer: expected features as {type(layer).__name__} gives them.*got layout '{layout}'.*layout='{name}'"
    with pytest.raises(FeatmixError, match=message):
        fm.attach(Layers(layer), {"layer": fm.MoEx(layout=layout)})


def test_what_is_set_later_is_followed():
    given, model, x = fm.MoEx("pono"), Layers(nn.Linear(3, 4)), torch.randn(4, 5, 6, 3)
    with fm.attach(model, {"layer": given}, seed=0) as mixer:
        given.p = 0.0
        assert not mixer.draw(x).params["layer"].active.any()
        mixer.discard()
        given.p = 1.0
        assert mixer.draw(x).params["layer"].active.all()
        mixer.discard()


def test_what_a_strategy_notes_is_seen_on_the_one_that_was_given():
    class Counting(fm.MoEx):
        seen = 0

        def remember(self, x, params):
            self.seen = self.seen + 1

    given, model = Counting("pono"), Layers(nn.Conv1d(3, 4, 3)).train()
    with fm.attach(model, {"layer": given}, seed=0) as mixer:
        for _ in range(3):
            mixer.draw(torch.randn(2, 3, 9))
            model(torch.randn(2, 3, 9))
    assert given.seen == 3
    assert given.layout is given.normalizer.layout is None


def test_schedules_are_followed():
    given, model = fm.MoEx(p=fm.schedule.linear(0, 1)), Layers(nn.Conv1d(3, 4, 3)).train()
    with fm.attach(model, {"layer": given}, example=torch.randn(2, 3, 9), seed=0) as mixer:
        for progress in (0.0, 1.0):
            mixer.progress = progress
            assert bool(mixer.draw(torch.randn(2, 3, 9)).params["layer"].active.all()) == bool(progress)
            mixer.discard()


def test_memories_are_those_of_the_strategy_that_was_given():
    given, model = fm.MoEx("ln", memory=4), Layers(nn.Conv1d(3, 4, 3)).train()
    x, labels = torch.randn(2, 3, 9), torch.arange(2)
    with fm.attach(model, {"layer": given}, example=x, seed=0) as mixer:
        for _ in range(2):
            mix = mixer.draw(x, target=labels)
            mix.loss(F.cross_entropy, model(x).mean(2), labels)
        assert mix.params["layer"].remembered.all()
        state = copy.deepcopy(mixer.state_dict())
        mixer.load_state_dict(state)
    assert given.state_dict().keys() == state["strategies"]["layer"].keys()


def test_the_tree_is_what_was_given():
    inner = fm.OneOf([fm.At("0", fm.MoEx()), fm.At("1", fm.Mixup())], weights=[1, 3])
    tree = fm.Compose([fm.At("input", fm.Mixup()), inner], share_partner=True)
    model = nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU())
    with fm.attach(model, tree, seed=0) as mixer:
        assert mixer.tree is tree
        acting = mixer.acting
    assert acting is not tree
    assert (acting.share_partner, acting.members[1].weights) == (True, [1, 3])
    kept, told = acting.members[0], acting.members[1].members[0]
    assert kept is tree.members[0]
    assert told.strategy.layout_of((2, 4, 7)).name == "bct"
    assert inner.members[0].strategy.layout is None


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize(
    "given",
    [fm.MoEx("pono"), fm.CutMix(), fm.Mixup(memory=8), fm.MixStyle(p=fm.schedule.constant(1.0))],
    ids=lambda strategy: strategy.name,
)
def test_what_was_found_out_goes_along_with_copies(given, copied):
    model, x, y = Layers(nn.Conv1d(3, 4, 3)), torch.randn(5, 3, 9), torch.arange(5)
    with fm.attach(model, {"layer": given}, example=x, seed=0) as mixer:
        other, twin = copied((model, mixer))
        mix, same = mixer.draw(x, target=y), twin.draw(x, target=y)
        assert torch.equal(model(x), other(x))
        assert torch.equal(mix.params["layer"].partner, same.params["layer"].partner)
        assert [leaf.strategy.layout for leaf in twin.acting.leaves()] == ["bc*"]
        (leaf,) = twin.tree.leaves()
        leaf.strategy.p = 0.0  # what is set later is followed by the copy alone
        assert not twin.draw(x, target=y).params["layer"].active.any()
        assert mixer.draw(x, target=y).params["layer"].active.all()
