from math import sqrt

import pytest
import torch

import featmix as fm
from featmix.mixer.tree import Request, as_tree
from featmix.sampling.draws import stream


def seeded(seed=0):
    return stream(torch.Generator().manual_seed(seed))


def request(batch=6, seed=0, **given):
    return Request(batch, seeded(seed), **given)


def manifold(**settings):
    return fm.OneOf([fm.At(site, fm.Mixup()) for site in ("input", "layer1", "layer2")], **settings)


def test_leaves_come_in_order():
    tree = fm.Compose([fm.At("a", fm.MoEx()), manifold(), fm.Compose([fm.At("z", fm.Mixup(), call=1)])])
    assert [(leaf.site, leaf.call) for leaf in tree.leaves()] == [
        ("a", None),
        ("input", None),
        ("layer1", None),
        ("layer2", None),
        ("z", 1),
    ]
    drawn = tree.draw(request())
    assert len(drawn) == 5
    assert all(len(params.mixture) == 6 for params in drawn)


def test_sugar_is_compose():
    strategies = {"input": fm.CutMix(), "layer1": fm.MoEx()}
    tree = as_tree(strategies)
    assert isinstance(tree, fm.Compose)
    assert {leaf.site: leaf.strategy for leaf in tree.leaves()} == strategies
    assert as_tree(tree) is tree


def test_at_hands_the_request_on():
    domain = torch.tensor([0, 0, 0, 1, 1, 1])
    at = fm.At("layer1", fm.CutMix(partner="crossdomain", layout="bhwc"))
    (params,) = at.draw(request(shapes={"layer1": (7, 9, 3), "input": (1, 1, 1)}, domain=domain))
    assert params.sizes == (7, 9)
    assert bool((domain[params.partner] != domain).all())
    partner = torch.tensor([1, 2, 3, 4, 5, 0])
    assert torch.equal(fm.At("layer1", fm.MoEx()).draw(request(partner=partner))[0].partner, partner)


def test_a_known_shape_decides_whether_there_is_anything_to_exchange():
    at = fm.At("layer1", fm.MoEx("in"))
    assert not bool(at.draw(request(shapes={"layer1": (8, 1, 1)}))[0].active.any())
    assert bool(at.draw(request(shapes={"layer1": (8, 2, 2)}))[0].active.all())


def test_spatial_strategies_need_the_shape():
    with pytest.raises(fm.FeatmixError, match=r"CutMix: layer1: expected the shape.*attach\(\.\.\., example=images\)"):
        fm.At("layer1", fm.CutMix()).draw(request(shapes={"input": (3, 8, 8)}))


@pytest.mark.parametrize("partner", ["derangement", "permutation", "crossdomain"])
def test_share_partner_draws_one_for_all(partner):
    either = fm.OneOf([fm.At(s, fm.Mixup(partner=partner)) for s in "bc"])
    members = [fm.At("a", fm.MoEx(partner=partner)), either, fm.At("d", fm.CutMix(partner=partner))]
    shapes = {"d": (3, 8, 8)}
    one, *others = fm.Compose(members, share_partner=True).draw(request(16, shapes=shapes))
    assert [params.acts() for params in others].count(True) == 2
    assert all(torch.equal(params.partner, one.partner if params.acts() else torch.arange(16)) for params in others)
    one, *others = fm.Compose(members).draw(request(16, shapes=shapes))
    assert not any(torch.equal(params.partner, one.partner) for params in others)


def test_share_partner_refuses_members_that_choose_differently():
    members = [fm.At("a", fm.MoEx()), fm.At("b", fm.Mixup(partner="permutation"))]
    with pytest.raises(fm.FeatmixError, match=r"share_partner: .*got \['derangement', 'permutation'\]"):
        fm.Compose(members, share_partner=True)


@pytest.mark.parametrize(("weights", "shares"), [(None, [1 / 3] * 3), ([2, 1, 1], [0.5, 0.25, 0.25]), ([0, 3, 0], [0, 1, 0])])
def test_one_of_follows_its_weights(weights, shares):
    tree, random, trials = manifold(weights=weights), seeded(), 1000
    counts = [0, 0, 0]
    for _ in range(trials):
        active = [bool(params.active.any()) for params in tree.draw(Request(2, random))]
        assert sum(active) == 1
        counts[active.index(True)] += 1
    for count, share in zip(counts, shares, strict=True):
        assert abs(count - trials * share) <= 5 * sqrt(trials * share * (1 - share))


class First:
    """A stream whose first number is given."""

    def __init__(self, number):
        self.number, self.rest = number, seeded()

    def random(self, *shape):
        if self.number is None or shape:
            return self.rest.random(*shape)
        number, self.number = self.number, None
        return number

    def __getattr__(self, name):
        return getattr(self.rest, name)


@pytest.mark.parametrize("drawn", [0.0, 1 - 2**-53])
def test_a_member_of_weight_0_is_never_chosen(drawn):
    random = First(drawn)
    active = [bool(params.active.any()) for params in manifold(weights=[0, 0.3, 0]).draw(Request(6, random))]
    assert random.number is None
    assert active == [False, True, False]


def test_members_not_chosen_are_idle_and_keep_their_shapes():
    shapes = dict.fromkeys("ab", (3, 8, 8))
    chosen, idle = fm.OneOf([fm.At(s, fm.CutMix()) for s in "ab"], weights=[1, 0]).draw(request(shapes=shapes))
    assert bool(chosen.active.all())
    assert not bool(idle.active.any())
    assert bool((idle.lam == 1).all())
    assert torch.equal(idle.mixture.matrix(), torch.eye(6))
    assert idle.mixture.index.shape == chosen.mixture.index.shape
    assert idle.box.shape == chosen.box.shape
    x = torch.rand(6, 3, 8, 8)
    assert torch.equal(fm.CutMix().transform(x, idle), x)


@pytest.mark.parametrize(("count", "p"), [(1, 1.0), (2, 0.5), (3, 0.25), (2, 0.0)])
def test_some_of_draws_so_many_without_replacement(count, p):
    members = [fm.At(site, fm.Mixup()) for site in "abc"]
    tree, random, trials = fm.SomeOf(members, count=count, p=p), seeded(), 600
    seen = [[bool(params.active.any()) for params in tree.draw(Request(2, random))] for _ in range(trials)]
    assert {sum(active) for active in seen} == {0, count} - ({0} if p == 1 else {count} if p == 0 else set())
    share = p * count / 3
    for times in (sum(active) for active in zip(*seen, strict=True)):
        assert abs(times - trials * share) <= 5 * sqrt(trials * share * (1 - share))


def test_some_of_follows_a_schedule():
    tree = fm.SomeOf([fm.At(site, fm.Mixup()) for site in "ab"], count=1, p=fm.schedule.linear(0, 1))
    for progress, active in ((0.0, 0), (1.0, 1)):
        drawn = tree.draw(Request(2, seeded(), progress=progress))
        assert sum(bool(params.active.any()) for params in drawn) == active


def test_some_of_draws_the_same_numbers_whether_it_fires_or_not():
    """So that what stands after it in a tree does not depend on the gate."""
    members = [fm.At(site, fm.Mixup()) for site in "ab"]
    after = [fm.Compose([fm.SomeOf(members, count=1, p=p), fm.At("z", fm.Mixup())]).draw(request())[-1].lam for p in (0.0, 1.0)]
    assert torch.equal(*after)


def test_one_of_branches_switches_them_as_a_whole():
    both = fm.Compose([fm.At("a", fm.MoEx()), fm.At("b", fm.Mixup())])
    tree = fm.OneOf([both, fm.At("c", fm.MixStyle(p=1))])
    seen = {tuple(bool(p.active.any()) for p in tree.draw(request(seed=seed))) for seed in range(30)}
    assert seen == {(True, True, False), (False, False, True)}


def test_draws_come_from_the_stream_alone():
    before = torch.get_rng_state()
    tree = fm.Compose([manifold(), fm.At("a", fm.MixStyle())], share_partner=True)
    first, again = tree.draw(request(seed=1)), tree.draw(request(seed=1))
    assert all(torch.equal(a.lam, b.lam) and torch.equal(a.partner, b.partner) for a, b in zip(first, again, strict=True))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: fm.At("", fm.MoEx()), "At: site: expected the name of a module, or 'input', got ''"),
        (lambda: fm.At(fm.MoEx(), "layer1"), "At: site: expected the name of a module"),
        (lambda: fm.At("layer1", "moex"), r"At: strategy: .*got 'moex'\. Make one with featmix\.create"),
        (lambda: fm.At("layer1", fm.MoEx), "At: strategy: expected a strategy"),
        (lambda: fm.At("layer1", fm.MoEx(), call=-1), "At: call: expected an index from 0, got -1"),
        (lambda: fm.At("layer1", fm.MoEx(), call="first"), "At: call: expected an index from 0"),
        (lambda: fm.SomeOf([], count=1), "SomeOf: members: expected at least one"),
        (
            lambda: fm.SomeOf([fm.At("a", fm.MoEx())], count=2),
            "SomeOf: count: expected at most the number of members, 1, got 2",
        ),
        (lambda: fm.SomeOf([fm.At("a", fm.MoEx())], count=0), "SomeOf: count: expected a whole number from 1 up, got 0"),
        (lambda: fm.SomeOf([fm.At("a", fm.MoEx())], count=1, p=1.5), r"SomeOf: p: expected a number in \[0, 1\]"),
        (lambda: fm.Compose([]), "Compose: members: expected at least one"),
        (lambda: fm.OneOf(()), "OneOf: members: expected at least one"),
        (lambda: fm.Compose([fm.MoEx()]), r"Compose: members: .*Say where it acts: Compose\(\[At\('layer1', strategy\)"),
        (lambda: fm.OneOf([{"input": fm.MoEx()}]), "OneOf: members: expected At, Compose, OneOf or SomeOf"),
        (lambda: manifold(weights=[1, 2]), r"OneOf: weights: expected 3 numbers from 0 up, not all 0, got \[1, 2\]"),
        (lambda: manifold(weights=[0, 0, 0]), "OneOf: weights"),
        (lambda: manifold(weights=[1, -1, 1]), "OneOf: weights"),
        (lambda: manifold(weights=[1, float("nan"), 1]), "OneOf: weights"),
        (lambda: manifold(weights=[1, float("inf"), 1]), "OneOf: weights"),
        (lambda: as_tree(fm.MoEx()), r"attach: tree: .*Say where it acts: \{'layer1': MoEx"),
        (lambda: as_tree({}), "Compose: members: expected at least one"),
        (lambda: as_tree({"layer1": "moex"}), "At: strategy"),
    ],
)
def test_refusals(attempt, message):
    with pytest.raises(fm.FeatmixError, match=message):
        attempt()
