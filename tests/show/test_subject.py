import pytest
from torch import nn

import featmix as fm
from featmix.pipeline.by_view import NoMix
from featmix.show.subject import subject_of


def leaves(what, site=None, **settings):
    return [(leaf.site, leaf.strategy.name) for leaf in subject_of(what, site, **settings).tree.leaves()]


@pytest.mark.parametrize("name", fm.list_strategies())
def test_a_strategy_in_words_acts_in_every_step_where_it_usually_stands(name):
    usual = {"input": ["input"], "hidden": ["stem"], "one of several": ["input", "stem", "layer1"]}
    subject = subject_of(name)
    assert [leaf.site for leaf in subject.tree.leaves()] == usual[fm.strategy_class(name).tags.default_site]
    assert all(leaf.strategy.p == 1 for leaf in subject.tree.leaves())
    assert not subject.has_parts


def test_the_site_that_is_looked_at_is_where_hidden_strategies_act():
    assert leaves("moex", "layer2") == [("layer2", "moex")]
    assert leaves("moex@layer1", "layer2") == [("layer1", "moex")]
    assert leaves("cutmix", "layer2") == [("input", "cutmix")]
    assert leaves("moex@input|layer1") == [("input", "moex"), ("layer1", "moex")]
    assert leaves(fm.MoEx(), "blocks.0") == [("blocks.0", "moex")]
    assert leaves(" MoEx @ blocks.0 : lam=0.5 ", any_site=True) == [("blocks.0", "moex")]


def test_settings_in_words():
    (leaf,) = subject_of("moex:norm=in,lam=0.8,p=0.25").tree.leaves()
    assert (leaf.strategy.norm, leaf.strategy.lam, leaf.strategy.p) == ("in", 0.8, 0.25)


def test_trees_presets_and_pipelines():
    tree = fm.OneOf([fm.At("input", fm.CutMix()), fm.At("a", fm.MoEx())])
    assert subject_of(tree).tree is tree
    assert leaves({"a": fm.MoEx()}) == [("a", "moex")]
    assert leaves("MoEx/ImageNet-ResNet50") == [("stem", "moex")]
    assert leaves("MoEx/ImageNet-ResNet50", any_site=True) == [("maxpool", "moex")]
    assert leaves("cutmix+moex@layer1:lam=0.8") == [("input", "cutmix"), ("layer1", "moex")]
    flip, blur = nn.Identity(), nn.Identity()
    subject = subject_of(fm.Pipeline(sample=flip, batch=blur, mix=tree))
    assert (subject.sample, subject.batch, subject.tree, subject.has_parts) == (flip, blur, tree, True)
    assert isinstance(subject_of(fm.Pipeline()).tree, NoMix)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("mixpu", "show: strategy: expected a strategy, got 'mixpu'. Did you mean 'mixup'"),
        ("moex@layr1", "show: site: expected a site of the network, got 'layr1'. Did you mean 'layer1'"),
        ("moex@", "show: site: expected the name of a site after '@', got 'moex@'"),
        ("moex:lam", "show: strategy: expected settings as name=value"),
        ("moex:lam=3", "MoEx: lam: expected a number in"),
        ("none", "show: strategy: expected a strategy, got 'none'"),
        (3, "show: what: expected a strategy, a preset, a tree or a pipeline, got int"),
        (fm.MoEx, "show: what: expected"),
        (fm.normalizer("pono"), "show: what: expected"),
        ({"a": 1}, "At: strategy: expected"),
    ],
)
def test_what_is_no_subject_is_refused(what, said):
    with pytest.raises(fm.FeatmixError) as caught:
        subject_of(what)
    assert str(caught.value).startswith(said)
