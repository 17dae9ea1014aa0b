import pytest
import torch

import featmix as fm
from featmix import schedule


@pytest.mark.parametrize(
    ("thing", "key"),
    [
        (fm.MoEx(), "strategy"),
        (fm.At("input", fm.MoEx()), "tree"),
        ({"input": fm.MoEx()}, "tree"),
        (fm.Pipeline(mix={"input": fm.MoEx()}), "mix"),
        (fm.normalizer("gn2"), "normalizer"),
        (schedule.linear(0, 1), "linear"),
        (torch.nn.Sequential(torch.nn.Identity()), "class"),
    ],
)
def test_what_a_configuration_can_be_of(thing, key):
    written = fm.to_dict(thing)
    assert written["featmix"] == 1
    assert set(written["versions"]) == {"featmix", "torch"}
    assert key in written
    assert type(fm.from_dict(written)) is type(thing)
    assert fm.to_dict(fm.from_dict(written)) == written


@pytest.mark.parametrize("thing", [3, "moex", None, [fm.MoEx()], fm.MoEx, object()])
def test_and_what_not(thing):
    with pytest.raises(fm.FeatmixError):
        fm.to_dict(thing)


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ([], "", "a configuration, got []"),
        ({}, "", "a pipeline (sample, batch, mix), a tree, a strategy"),
        ({"featmix": 1}, "", "a pipeline (sample, batch, mix), a tree, a strategy"),
        ({"featmix": 2, "strategy": {"name": "moex"}}, "featmix", "the format 1, got 2"),
        ({"featmix": True, "strategy": {"name": "moex"}}, "featmix", "the format 1"),
        ({"featmix": 1.0, "strategy": {"name": "moex"}}, "featmix", "the format 1"),
        ({"strategy": {"name": "moex"}, "tree": {"sites": {"a": {"name": "moex"}}}}, "tree", "strategy alone"),
        ({"strategy": {"name": "moex"}, "more": 1}, "more", "strategy alone"),
        ({"tree": {"sites": {"a": {"name": "moex"}}}, "more": 1}, "", "a pipeline"),
        ({"mix": None, "more": 1}, "more", "a part of a pipeline"),
        ({"mix": {"sites": {"a": {"name": "moex"}}}, "strategy": {"name": "moex"}}, "strategy", "a part of a pipeline"),
        ({"strategie": {"name": "moex"}}, "", "a pipeline"),
        ({"__class__": "os.system"}, "", "a pipeline"),
        (None, "", "a configuration"),
        ("strategy", "", "a configuration"),
    ],
)
def test_refusals(value, path, message):
    with pytest.raises(fm.FeatmixError) as caught:
        fm.from_dict(value)
    assert caught.value.argument == path
    assert message in str(caught.value)


def test_what_is_given_is_left_alone():
    written = fm.to_dict(fm.Pipeline(mix={"input": fm.MoEx()}))
    before = repr(written)
    fm.from_dict(written)
    assert repr(written) == before
