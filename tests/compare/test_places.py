import pytest
from torch import nn

import featmix as fm
from featmix.compare.contenders import contender
from featmix.compare.places import Places, placed
from featmix.compare.sweeps import expanded
from featmix.errors import FeatmixError
from featmix.presets.registry import preset
from tests.compare.nets import Tiny


def sites(tree):
    return [leaf.site for leaf in tree.leaves()]


def test_numbered_modules_are_stages():
    places = Places(Tiny(3))
    wanted = {"input": "input", "stem": "conv1", "stage1": "layer1", "layer2": "layer2", "layer1.0": "layer1.0", "fc": "fc"}
    assert {site: places.find(site) for site in wanted} == wanted
    blocks = nn.ModuleDict({"embed": nn.Identity(), "stages": nn.ModuleList([nn.Identity(), nn.Identity()])})
    assert [Places(blocks).find(site) for site in ("stem", "stage1", "layer2")] == ["embed", "stages.0", "stages.1"]


def test_what_feature_info_says_comes_first():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    net.feature_info = [{"module": "2", "reduction": 4}]
    assert [Places(net).find(site) for site in ("stem", "stage1", "layer1", "0")] == ["1", "2", "2", "0"]


def test_a_site_that_is_none_is_refused_and_never_guessed():
    with pytest.raises(FeatmixError, match="Did you mean 'layer1'"):
        Places(Tiny(3)).find("layr1")
    with pytest.raises(FeatmixError, match=r"got 'stem'\. It has 0, 1, input, and what is in these: moex@0"):
        Places(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())).find("stem")
    with pytest.raises(FeatmixError, match="stage3"):
        Places(Tiny(3)).find("stage3")


def test_sites_of_presets_stand_at_the_stage_of_their_number():
    places = Places(Tiny(3))
    assert sites(places.placed(preset("moex/imagenet-resnet50"), published=True)) == ["conv1"]
    assert [places.find(site, published=True) for site in ("layer1.1.conv2", "blocks.1", "layer4")] == ["layer1"] * 1 + [
        "layer2"
    ] * 2
    assert places.told(preset("moex/imagenet-resnet50"), published=True) == {"maxpool": "conv1"}
    with pytest.raises(FeatmixError):
        places.find("maxpool")


def test_contenders_of_any_network():
    specs = {text: contender(text, any_site=True) for text in ("moex", "mixstyle@fc", "manifold-mixup", "cutmix+moex@stage2")}
    places = Places(Tiny(3))
    assert {text: sites(places.placed(spec.pipeline().tree)) for text, spec in specs.items()} == {
        "moex": ["conv1"],
        "mixstyle@fc": ["fc"],
        "manifold-mixup": ["input", "conv1", "layer1"],
        "cutmix+moex@stage2": ["input", "layer2"],
    }
    assert contender("moex/imagenet-resnet50", any_site=True).published
    assert not specs["cutmix+moex@stage2"].published
    assert expanded(["moex@stage1,fc"], any_site=True)[0] == ["moex@stage1", "moex@fc"]


def test_pipelines_keep_their_other_parts():
    made = placed(fm.Pipeline(batch=abs, mix={"stem": fm.MoEx()}, seed=3), Places(Tiny(3)))
    assert (sites(made.tree), made.batch, made.seed) == (["conv1"], abs, 3)
    assert placed(fm.Pipeline(seed=1), Places(Tiny(3))).tree is None
