import pytest
from torch import nn

from featmix import FeatmixError
from featmix.mixer.sites import find, plain, unwrap

SEGMENTS = ["_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"]


class Wrapper(nn.Module):
    """Holds a module the way compilers, checkpointing and sharding do."""

    def __init__(self, inner, segment):
        super().__init__()
        self.add_module(segment, inner)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.layer1 = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU())
        self.shortcut = nn.Sequential()


@pytest.mark.parametrize("segment", SEGMENTS)
def test_unwrap_sees_through(segment):
    net = Net()
    assert unwrap(net) is net
    assert unwrap(Wrapper(net, segment)) is net
    assert unwrap(Wrapper(Wrapper(net, "_fsdp_wrapped_module"), segment)) is net


def test_unwrap_sees_through_data_parallelism():
    net = Net()
    assert unwrap(nn.DataParallel(net)) is net
    assert unwrap(Wrapper(nn.DataParallel(net), "_orig_mod")) is net
    assert unwrap(nn.DataParallel(Wrapper(net, "_orig_mod"))) is net


def test_a_models_own_child_called_module_is_not_unwrapped():
    model = nn.Module()
    model.module = Net()
    assert unwrap(model) is model
    assert find(model, "module") is model.module
    assert find(model, "module.layer1") is model.module.layer1


@pytest.mark.parametrize("site", ["stem", "layer1", "layer1.0", "shortcut"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod."])
def test_find_with_or_without_the_segments_of_a_wrapped_model(prefix, site):
    net = Net()
    assert find(net, prefix + site) is net.get_submodule(site)


@pytest.mark.parametrize("segment", SEGMENTS)
def test_find_inside_wrapped_layers(segment):
    net = Net()
    inner = net.layer1
    net.layer1 = Wrapper(inner, segment)
    for site in ("layer1", f"layer1.{segment}", f"module.layer1.{segment}"):
        assert find(net, site) is inner
    for site in ("layer1.0", f"layer1.{segment}.0"):
        assert find(net, site) is inner[0]


def test_a_shared_module_has_both_names():
    net = Net()
    net.again = net.stem
    assert find(net, "again") is find(net, "stem") is net.stem


@pytest.mark.parametrize(
    ("site", "message"),
    [
        ("layer2", "got 'layer2'. Did you mean 'layer1'"),
        ("layer1.O", "'layer1.0'"),
        ("inptu", "'input'"),
        ("", "expected the name of a module"),
        ("module", "expected the name of a module"),
    ],
)
def test_misspelt_sites_name_the_nearest(site, message):
    with pytest.raises(FeatmixError) as refused:
        find(Net(), site)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("layer1.0", "layer1.0"),
        ("module.layer1", "layer1"),
        ("module", "module"),
        ("layer1.module.0", "layer1.module.0"),
        ("_orig_mod.layer1._checkpoint_wrapped_module.0", "layer1.0"),
        ("_orig_mod.module.layer1._fsdp_wrapped_module", "layer1"),
        ("module._orig_mod.layer1", "layer1"),
    ],
)
def test_plain(name, short):
    assert plain(name) == short
