import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import featmix as fm
from featmix import schedule
from featmix.configuration.place import Place
from featmix.configuration.yaml_text import emit, parse
from featmix.mixer.tree import Request, as_tree
from featmix.sampling.draws import stream
from featmix.testing.inputs import strategies

SITES = st.sampled_from(["input", "layer1", "layer2.0", "0", "no", "a b", "3.14"])
CALLS = st.none() | st.integers(0, 3)
OUTPUTS = st.none() | st.integers(-2, 2) | st.sampled_from(["out", "no", "0"]) | st.just(("maps", -1))
LEAVES = st.builds(fm.At, SITES, strategies(layout="bchw"), call=CALLS) | st.builds(
    fm.At, st.just("layer1"), strategies(layout="bchw"), call=CALLS, output=OUTPUTS, groups=st.integers(1, 3)
)


def composed(members, share_partner):
    kinds = {leaf.strategy.settings().get("partner") for member in members for leaf in member.leaves()}
    return fm.Compose(members, share_partner=share_partner and len(kinds) == 1)


def one_of(members, weights):
    weights = (weights * len(members))[: len(members)]
    return fm.OneOf(members, weights=weights if sum(weights) else None)


def branches(members):
    some = st.lists(members, min_size=1, max_size=3)
    numbers = st.lists(st.floats(0, 10) | st.integers(0, 3), min_size=1, max_size=3)
    chances = st.floats(0, 1) | st.just(schedule.linear(0, 1))
    return (
        st.builds(composed, some, st.booleans())
        | st.builds(one_of, some, numbers)
        | st.builds(lambda held, p: fm.SomeOf(held, count=len(held), p=p), some, chances)
    )


trees = st.recursive(LEAVES, branches, max_leaves=6) | st.dictionaries(SITES, strategies(layout="bchw"), min_size=1, max_size=3)


def drawn(tree):
    """All that a tree decides for one batch, from one seed."""
    tree = as_tree(tree)
    shapes = {leaf.place: (4, 6, 5) for leaf in tree.leaves()}
    request = Request(6, stream(torch.Generator().manual_seed(0)), shapes, torch.arange(6) % 3, training=False)
    return [(p.partner.tolist(), p.active.tolist(), p.mixture.matrix().tolist()) for p in tree.draw(request)]


@settings(max_examples=150, deadline=None)
@given(trees)
def test_random_trees_come_back(tree):
    written = fm.to_dict(tree)
    again = fm.from_dict(parse(emit(written), Place("f")))
    assert type(again) is type(tree)
    assert fm.to_dict(again) == written
    said = [[(leaf.place, leaf.way, leaf.groups) for leaf in as_tree(t).leaves()] for t in (again, tree)]
    assert said[0] == said[1]
    assert repr(again) == repr(tree)
    assert drawn(again) == drawn(tree)


@pytest.mark.parametrize("name", fm.list_presets())
def test_every_preset_comes_back(name):
    written = fm.to_dict(fm.preset(name))
    assert fm.to_dict(fm.from_dict(written)) == written


def test_what_a_tree_looks_like():
    tree = fm.Compose([fm.At("input", fm.Mixup()), fm.OneOf([fm.At("layer1", fm.MoEx(), call=1)])], share_partner=True)
    assert fm.to_dict(tree)["tree"] == {
        "compose": [
            {"at": "input", "strategy": fm.to_dict(fm.Mixup())["strategy"]},
            {"one_of": [{"at": "layer1", "strategy": fm.to_dict(fm.MoEx())["strategy"], "call": 1}], "weights": [1.0]},
        ],
        "share_partner": True,
    }
    leaf = fm.At("backbone", fm.Mixup(), output=("maps", 0), groups=8)
    assert fm.to_dict(leaf)["tree"] == {
        "at": "backbone",
        "strategy": fm.to_dict(fm.Mixup())["strategy"],
        "output": ["maps", 0],
        "groups": 8,
    }
    assert fm.to_dict({"0": fm.MoEx()})["tree"] == {"sites": {"0": fm.to_dict(fm.MoEx())["strategy"]}}


def test_what_cannot_be_written_is_refused_by_its_path():
    class Mine(fm.MoEx):
        pass

    class MyCompose(fm.Compose):
        pass

    for tree, path in [
        (fm.Compose([fm.At("a", fm.MoEx()), fm.OneOf([fm.At("b", Mine())])]), "tree.compose[1].one_of[0].strategy"),
        (fm.OneOf([fm.At("a", fm.MoEx()), MyCompose([fm.At("a", fm.MoEx())])]), "tree.one_of[1]"),
        ({"a": fm.MoEx(), "b": Mine()}, "tree.sites.b"),
        ({"a": "moex"}, "tree.sites"),
        ({1: fm.MoEx()}, "tree.sites"),
    ]:
        with pytest.raises(fm.FeatmixError) as caught:
            fm.to_dict(tree)
        assert caught.value.argument == path


MOEX = {"name": "moex"}


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ([], "tree", "a tree: one of at, compose, one_of, some_of, sites"),
        ({}, "tree", "a tree: one of at, compose, one_of, some_of, sites"),
        ({"compos": []}, "tree", "Did you mean 'compose'"),
        ({"compose": {}}, "tree.compose", "a list of trees"),
        ({"compose": []}, "tree.compose", "at least one"),
        ({"compose": [3]}, "tree.compose[0]", "a tree"),
        ({"compose": [{"at": "a", "strategy": MOEX}, {"sites": {"a": MOEX}}]}, "tree.compose[1]", "got sites"),
        ({"compose": [{"at": "a", "strategy": MOEX}], "share_partner": 1}, "tree.share_partner", "True or False"),
        ({"compose": [{"at": "a", "strategy": MOEX}], "weights": [1]}, "tree.weights", "an entry beside compose"),
        (
            {"compose": [{"at": x, "strategy": MOEX | {"partner": k}} for x, k in (("a", "derangement"), ("b", "permutation"))]}
            | {"share_partner": True},
            "tree.share_partner",
            "members with one choice of partner",
        ),
        ({"one_of": [{"at": "a", "strategy": MOEX}], "weights": [0]}, "tree.weights", "1 numbers from 0 up"),
        ({"one_of": [{"at": "a", "strategy": MOEX}], "weights": ["x"]}, "tree.weights", "1 numbers from 0 up"),
        ({"one_of": [{"at": "a", "strategy": MOEX}], "weights": {"a": 1}}, "tree.weights", "a list of 1 numbers"),
        ({"at": "a"}, "tree", "a strategy at the site"),
        ({"at": 3, "strategy": MOEX}, "tree.at", "the name of a module"),
        ({"at": "", "strategy": MOEX}, "tree.at", "the name of a module"),
        ({"at": "a", "strategy": MOEX, "call": -1}, "tree.call", "an index from 0"),
        ({"at": "a", "strategy": MOEX, "call": True}, "tree.call", "an index from 0"),
        ({"at": "a", "strategy": MOEX, "output": []}, "tree.output", "an index, a name, or several"),
        ({"at": "a", "strategy": MOEX, "output": {"a": 1}}, "tree.output", "an index, a name, or several"),
        ({"at": "a", "strategy": MOEX, "groups": 0}, "tree.groups", "a whole number from 1 up"),
        ({"at": "input", "strategy": MOEX, "groups": 2}, "tree.at", "a module"),
        ({"at": "a", "strategy": MOEX, "times": 2}, "tree.times", "an entry beside at"),
        ({"some_of": [{"at": "a", "strategy": MOEX}], "count": 2}, "tree.count", "at most the number of members, 1"),
        ({"some_of": [{"at": "a", "strategy": MOEX}]}, "tree", "what SomeOf can be made with"),
        (
            {"some_of": [{"at": "a", "strategy": MOEX}], "count": 1, "p": {"linear": {"start": 0}}},
            "tree.p.linear",
            "what linear can",
        ),
        ({"sites": {}}, "tree.sites", "at least one site"),
        ({"sites": {"": MOEX}}, "tree.sites", "each with a name"),
        ({"sites": {"a": {"compose": []}}}, "tree.sites.a", "the name of a strategy"),
        ({"sites": {"layer1.0": MOEX | {"norm": "x"}}}, "tree.sites['layer1.0'].norm", "a normalizer"),
        (
            {"compose": [{"one_of": [{"at": "a", "strategy": MOEX | {"norm": "x"}}]}]},
            "tree.compose[0].one_of[0].strategy.norm",
            "",
        ),
    ],
)
def test_refusals(value, path, message):
    with pytest.raises(fm.FeatmixError) as caught:
        fm.from_dict({"tree": value})
    assert caught.value.argument == path
    assert message in str(caught.value)
