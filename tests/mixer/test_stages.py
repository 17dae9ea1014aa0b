import pytest
import torch
from torch import nn

import featmix as fm
from featmix import FeatmixError
from featmix.mixer.sites import find
from featmix.mixer.stages import stages


class Net(nn.Module):
    def __init__(self, info, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.feature_info = info


def entries(**reductions):
    return [{"module": name.replace("__", "."), "reduction": n, "num_chs": 4} for name, n in reductions.items()]


def layers(n=2):
    return nn.Sequential(*(nn.Conv2d(4, 4, 1) for _ in range(n)))


def test_stages_by_reduction():
    info = entries(act1=2, layer1=4, layer2=8)
    net = Net(info, conv1=nn.Conv2d(3, 4, 1), act1=nn.ReLU(), maxpool=nn.MaxPool2d(2), layer1=layers(), layer2=layers())
    assert stages(net) == {"stem": "maxpool", "stage1": "layer1", "stage2": "layer2"}
    assert find(net, "stem") is net.maxpool
    assert find(net, "stage2") is net.layer2


def test_the_stem_lies_beside_what_the_first_stage_is_in():
    net = Net(entries(stages__0=4, stages__1=8), patch_embed=nn.Conv2d(3, 4, 1), stages=layers())
    assert stages(net) == {"stem": "patch_embed", "stage1": "stages.0", "stage2": "stages.1"}
    deep = Net(entries(blocks__0=2, blocks__1=4), blocks=layers())
    assert stages(deep) == {"stem": "blocks.0", "stage1": "blocks.1"}
    first = Net(entries(stages__0=4), stages=layers())  # nothing comes before it
    assert stages(first) == {"stage1": "stages.0"}
    with pytest.raises(FeatmixError, match="stage1"):
        find(first, "stem")


def test_a_module_of_that_name_wins():
    net = Net(entries(layer1=4), stem=nn.Identity(), other=nn.Identity(), layer1=layers(), stage1=nn.ReLU())
    assert find(net, "stem") is net.stem
    assert find(net, "stage1") is net.stage1


def test_one_reduction_throughout_counts_blocks():
    net = Net(entries(blocks__0=16, blocks__1=16, blocks__2=16), norm_pre=nn.Identity(), blocks=layers(3))
    assert stages(net)["stage3"] == "blocks.2"
    assert stages(net)["stem"] == "norm_pre"


def test_feature_info_as_an_object_and_renamed_layers():
    class Info:
        info = entries(stages__0=4)

    assert stages(Net(Info(), stem_0=nn.Identity(), stages_0=layers())) == {"stem": "stem_0", "stage1": "stages_0"}


@pytest.mark.parametrize("info", [None, [], "text", 3, [{"module": 1, "reduction": 4}], [{"reduction": 4}], entries(a=2)])
def test_without_usable_information_there_are_no_such_names(info):
    assert stages(Net(info, a=nn.Identity())) == {}


def test_without_feature_info_at_all():
    with pytest.raises(FeatmixError, match="Did you mean 'stage'"):
        find(Net(None, stage=nn.Identity()), "stage1")


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(FeatmixError, match="'stage1', which its feature_info says is 'gone'"):
        find(Net(entries(gone=4), layer1=layers()), "stage1")


def test_the_nearest_names_include_stages():
    net = Net(entries(layer1=4), conv1=nn.Identity(), layer1=layers())
    with pytest.raises(FeatmixError, match="Did you mean 'stage1'"):
        find(net, "stge1")


class Runs(Net):
    def forward(self, x):
        for module in self.children():
            x = module(x)
        return x.mean((2, 3))


@pytest.mark.parametrize("wrap", [lambda m: m, torch.compile, nn.DataParallel])
def test_attached_by_stage(wrap):
    net = Runs(entries(layer1=4, layer2=8), conv1=nn.Conv2d(3, 4, 1), layer1=layers(), layer2=layers())
    x, y = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 3])
    model = wrap(net)
    with fm.attach(model, {"stem": fm.CutMix(), "stage1": fm.MoEx()}, example=x, seed=0) as mixer:
        mix = mixer.draw(x, target=y)
        seen = []
        net.layer2.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        mix.loss(nn.functional.cross_entropy, net(x), y)
        stem = fm.CutMix().transform(net.conv1._conv_forward(x, net.conv1.weight, net.conv1.bias), mix.params["stem"])
        expected = mixer.tree.leaves()[1].strategy.transform(net.layer1[1](net.layer1[0](stem)), mix.params["stage1"])
    torch.testing.assert_close(seen[0], expected)
