"""Partners and rows of one's own: for every strategy, alone and in a model."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm
from tests.attaching import images, labels, moex, net

NAMES = fm.list_strategies()
OWN = torch.tensor([2, 2, 0, 5, 5, 1])  # no permutation, and no fixed point
ROWS = torch.tensor([True, False, True, True, False, True])
X = torch.randn(6, 4, 8, 8, generator=torch.Generator().manual_seed(3))


def partnered(name):
    return fm.create(name).tags.partnered


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("own", [None, OWN], ids=["drawn partners", "own partners"])
def test_rows_that_are_not_chosen_stay_as_they_are(name, own):
    strategy = fm.create(name, p=1.0)
    free = strategy.make_params(X.shape, generator=torch.Generator().manual_seed(0), partner=own)
    params = strategy.make_params(X.shape, generator=torch.Generator().manual_seed(0), partner=own, rows=ROWS)
    y = strategy.transform(X, params)
    assert torch.equal(y[~ROWS], X[~ROWS])
    assert torch.equal(params.active, ROWS)
    assert torch.equal(params.mixture.matrix()[~ROWS], torch.eye(6)[~ROWS])
    if partnered(name):
        assert torch.equal(params.partner[ROWS], free.partner[ROWS])  # rows that stay may lend
    oracle = strategy.oracle(X.double().numpy(), params)
    assert torch.allclose(y.double(), torch.from_numpy(oracle), atol=1e-4)


@pytest.mark.parametrize("name", [name for name in NAMES if partnered(name)])
def test_own_partners_are_taken_from(name):
    strategy = fm.create(name, p=1.0)
    params = strategy.make_params(X.shape, partner=OWN)
    assert torch.equal(params.partner, OWN)
    if strategy.tags.mixes_labels:
        other = torch.eye(6)[torch.arange(6)] + torch.eye(6)[OWN]
        if strategy.tags.batch_coupled:  # and from the partner's partner, and so on
            other = torch.linalg.matrix_power(other, 6)
        assert bool((params.mixture.matrix()[other == 0] == 0).all())
    y = strategy.transform(X, params)
    assert torch.allclose(y.double(), torch.from_numpy(strategy.oracle(X.double().numpy(), params)), atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("site", ["input", "stem"])
def test_a_mixer_hands_them_to_every_strategy(name, site):
    model, x, y = net(), images(), labels()
    mixer = fm.attach(model, {site: fm.create(name, p=1.0)}, example=x, seed=0)
    own = OWN.tolist() if partnered(name) else None
    mix = mixer.draw(x, target=y, partner=own, rows=ROWS.tolist())
    params = mix.params[site]
    assert torch.equal(params.active, ROWS)
    if own is not None:
        assert torch.equal(params.partner, torch.where(ROWS, OWN, torch.arange(6)))
    assert torch.equal(mix.dense(y, 5)[~ROWS], F.one_hot(y, 5)[~ROWS].float())
    mix.loss(F.cross_entropy, model(x), y).backward()


def test_all_members_of_a_tree_have_them():
    model, x = net(), images()
    tree = fm.Compose([fm.At("input", fm.CutMix()), fm.OneOf([fm.At("stem", moex()), fm.At("layer1", fm.MixStyle(p=1.0))])])
    for shared in (False, True):
        both = fm.Compose([tree.members[0], fm.At("stem", moex())], share_partner=shared)
        for spec in (tree, both):
            with fm.attach(model, spec, example=x, seed=0) as mixer:
                mix = mixer.draw(x, partner=OWN)
                for params in mix.params.values():
                    assert torch.equal(params.partner, torch.where(params.active, OWN, torch.arange(6)))


def test_a_strategy_called_by_itself_takes_them():
    y, soft = moex(num_classes=6)(X, torch.arange(6), partner=OWN, rows=ROWS)
    expected = moex().make_params(X.shape, partner=OWN, rows=ROWS)
    assert torch.equal(y, moex().transform(X, expected))
    assert torch.equal(soft, expected.mixture.dense(torch.arange(6), 6))


def test_partners_of_ones_own_leave_gates_and_strengths_to_the_strategy():
    strategy = fm.Mixup(p=0.5, per="sample", lam_per="sample")
    active = torch.stack([strategy.make_params((6,), partner=OWN, rows=ROWS).active for _ in range(200)])
    assert not active[:, ~ROWS].any()
    assert 0.35 < active[:, ROWS].float().mean() < 0.65


def test_eval_mode_leaves_all_rows_alone_and_checks_all_the_same():
    model, x = net().eval(), images()
    mixer = fm.attach(model, {"stem": moex()})
    assert torch.equal(mixer.draw(x, partner=OWN, rows=ROWS).mixture.matrix(), torch.eye(6))
    with pytest.raises(fm.FeatmixError, match="partner"):
        mixer.draw(x, partner=OWN + 4)


def test_the_state_of_the_generator_is_the_same_with_rows():
    """Which rows are mixed changes nothing about what is drawn for the others."""
    found = []
    for rows in (None, ROWS):
        mixer = fm.attach(net(), {"input": fm.Mixup(lam_per="sample")}, seed=0)
        mix = mixer.draw(images(), rows=rows)
        found.append(mix.params["input"].lam[ROWS])
    assert torch.equal(*found)


BAD = {
    "partner": [OWN.float(), OWN[:5], OWN - 1, OWN + 1, OWN.view(6, 1), "abcdef", [0, 1, 2], 3, [[0] * 6], ["a"] * 6],
    "rows": [ROWS.long(), ROWS[:5], ROWS.view(6, 1), "abcdef", [True], True, [1, 0, 1, 0, 1, 0], [None] * 6],
}


@pytest.mark.parametrize(("argument", "bad"), [(name, bad) for name, values in BAD.items() for bad in values])
def test_what_is_none_is_refused(argument, bad):
    mixer = fm.attach(net(), {"stem": moex()})
    for call in (
        lambda: mixer.draw(images(), **{argument: bad}),
        lambda: moex().make_params(X.shape, **{argument: bad}),
        lambda: moex()(X, **{argument: bad}),
    ):
        with pytest.raises(fm.FeatmixError, match=argument):
            call()
    mixer.draw(images())


def test_partners_that_nobody_would_take_from_are_refused():
    x, y = images(), labels()
    with pytest.raises(fm.FeatmixError, match="no partners"):
        fm.attach(net(), {"stem": fm.DSU()}).draw(x, partner=OWN)
    with pytest.raises(fm.FeatmixError, match="memory"):
        fm.attach(net(), {"stem": moex(memory=4)}, example=x).draw(x, target=y, partner=OWN)
    with pytest.raises(fm.FeatmixError, match="memory"):
        moex(memory=4, num_classes=6)(X, torch.arange(6), partner=OWN)


def test_rows_that_are_not_chosen_take_nothing_from_a_memory():
    model, x, y = net(), images(), labels()
    mixer = fm.attach(model, {"stem": moex(memory=12)}, example=x, seed=0)
    for _ in range(2):
        mix = mixer.draw(x, target=y, rows=ROWS)
        mix.loss(F.cross_entropy, model(x), y)
    assert torch.equal(mix.dense(y, 5)[~ROWS], F.one_hot(y, 5)[~ROWS].float())
    assert not mix.params["stem"].remembered[~ROWS].any()


def test_a_pipeline_hands_them_on():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with fm.Pipeline(mix={"input": fm.Mixup()}, seed=0).attach(model) as mixer:
        mix = mixer.draw(mixer.prepare(images()), partner=OWN, rows=ROWS)
    assert torch.equal(mix.params["input"].partner, torch.where(ROWS, OWN, torch.arange(6)))
