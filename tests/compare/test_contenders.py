import pytest

import featmix as fm
from featmix.compare.contenders import Contender, contender, contenders
from featmix.compare.network import SITES, usual_site
from featmix.errors import FeatmixError
from featmix.spec import at_site, sites_of


def test_settings_are_values_not_text():
    spec = contender("MoEx: norm=in, lam=0.50 ,positive_only=True")
    assert spec.values == (("lam", 0.5), ("norm", "in"), ("positive_only", True))
    assert spec.settings == "lam=0.5,norm=in,positive_only=True"
    assert spec.strategy().lam == 0.5


@pytest.mark.parametrize("name", fm.list_strategies())
def test_every_strategy_has_a_usual_site_and_its_label_can_be_read_again(name):
    assert set(sites_of(usual_site(name))) <= set(SITES)
    for text in (name, f"{name}@layer2", f"{name}:p=0.25", f"{name}@layer1|layer3:p=0.25"):
        spec = contender(text)
        assert spec.label == text
        assert contender(spec.label) == spec


def test_a_pair_is_one_setting():
    spec = contender("resizemix:scope=(0.2, 0.5),p=0.5")
    assert spec.values == (("p", 0.5), ("scope", (0.2, 0.5)))
    assert spec.strategy().scope == (0.2, 0.5)
    assert contender(spec.label) == spec


def test_sites():
    assert contender("mixup").site == "input"
    assert contender("moex").site == "stem"
    assert contender("manifold-mixup").site == contender("patchup").site == "input|stem|layer1"
    assert contender("cutmix@input|layer1").site == "input|layer1"
    assert contender("mixup", site="layer1").site == "layer1"
    assert contender("mixup@layer2", site="layer1").site == "layer2"
    assert contender("none", site="layer1") == Contender("none")


def test_the_baseline_is_always_there_and_first_if_it_was_not_named():
    assert [spec.name for spec in contenders(["moex", "mixup"])] == ["none", "moex", "mixup"]
    assert [spec.name for spec in contenders(["moex", "none"])] == ["moex", "none"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mixpu", "'mixup'"),
        ("", "Known"),
        ("moex@layr1", "'layer1'"),
        ("moex@", "site"),
        ("mixup@input|layr1", "'layer1'"),
        ("mixup@input|input", "each site once"),
        ("resizemix:scope=(0.5,0.2)", "low <= high"),
        ("moex:norm", "name=value"),
        ("moex:norm=", "name=value"),
        ("moex:lam=0.5,lam=0.6", "each setting once"),
        ("moex:nrom=in", "norm"),
        ("moex:lam=2", "lam"),
        ("moex:norm=bn", "bn"),
        ("none:p=1", "alone"),
        ("none@stem", "alone"),
    ],
)
def test_refusals(text, message):
    with pytest.raises(FeatmixError, match=message):
        contender(text)


def test_twice_the_same_is_refused():
    with pytest.raises(FeatmixError, match="again"):
        contenders(["moex:lam=0.9,norm=in", "moex:norm=in,lam=0.90"])


def test_what_stands_at_the_sites():
    tree = at_site("input|stem", fm.PatchUp())
    assert [(leaf.site, type(leaf.strategy).name) for leaf in tree.leaves()] == [("input", "cutmix"), ("stem", "patchup")]
    assert isinstance(at_site("layer1", fm.CutMix()), fm.At)


def test_a_strategy_as_a_pipeline():
    pipeline = contender("moex@layer1:lam=0.5").pipeline()
    assert (pipeline.sample, pipeline.batch) == (None, None)
    assert pipeline.mix.site == "layer1"
    assert pipeline.mix.strategy.lam == 0.5
    assert contender("none").pipeline().tree is None


def test_presets_and_strategies_together_are_contenders():
    both = contender("cutmix+moex@layer1:lam=0.8")
    assert both.label == "cutmix+moex@layer1:lam=0.8"
    assert contender(both.label) == both
    leaves = both.pipeline().tree.leaves()
    assert [(leaf.site, leaf.strategy.name) for leaf in leaves] == [("input", "cutmix"), ("layer1", "moex")]
    known = contender("MoEx/ImageNet-ResNet50")
    assert known.label == "moex/imagenet-resnet50"
    assert [leaf.site for leaf in known.pipeline().tree.leaves()] == ["stem"]


def test_each_pipeline_of_a_tree_has_strategies_of_its_own():
    both = contender("cutmix+moex")
    both.pipeline().tree.leaves()[0].strategy.p = 0.25
    assert both.pipeline().tree.leaves()[0].strategy.p == 1


@pytest.mark.parametrize("text", ["cutmix+none", "cutmix+", "+moex", "cutmix+mox"])
def test_parts_of_a_combination_are_strategies(text):
    with pytest.raises(FeatmixError, match="expected a strategy"):
        contender(text)
