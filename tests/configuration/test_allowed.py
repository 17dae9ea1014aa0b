import os
import sys
import types

import pytest
import torch
from kornia import augmentation, constants

import featmix as fm
from featmix.configuration import allow, allowed
from featmix.configuration.allowed import name_of, named
from featmix.configuration.place import Place

HERE = Place("f")


@pytest.fixture(autouse=True)
def nothing_stays_allowed(monkeypatch):
    monkeypatch.setattr(allowed, "_THINGS", dict(allowed._THINGS))


class Brighter:
    def __init__(self, by, *, clip=True):
        self.by, self.clip = by, clip

    def __call__(self, images):
        return images + self.by


def darker(images):
    return images * 0.5


def test_what_is_allowed_from_the_start():
    for thing in (augmentation.RandomAffine, constants.Resample, torch.nn.Sequential):
        assert named(name_of(thing), HERE) is thing


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins.eval",
        "builtins.exec",
        "subprocess.Popen",
        "torch.load",
        "torch.nn.Linear",
        "torch.hub.load",
        "kornia.augmentation.torch.load",
        "kornia.augmentation.base.torch",
        "kornia.augmentation._2d",
        "kornia.augmentation.Enum",
        "kornia.augmentation.__name__",
        "kornia.augmentation.utils",
        "kornia.augmentation.",
        "kornia.geometry.transform.Hflip",
        "kornia.constants.Enum",
        "kornia.contrib.ImageStitcher",
        "torchvision.io.read_file",
        "tests.configuration.test_allowed.Brighter",
        "",
        ".",
        "x" * 4000,
        "kornia.augmentation\x00.RandomAffine",
    ],
)
def test_nothing_else_is(name):
    modules = set(sys.modules)
    with pytest.raises(fm.FeatmixError) as caught:
        named(name, HERE.key("class"))
    assert caught.value.argument == "class"
    assert set(sys.modules) == modules


@pytest.mark.parametrize("name", sorted(allowed._NEVER))
def test_classes_that_download_or_run_are_never_allowed(name):
    with pytest.raises(fm.FeatmixError, match="a class that a configuration may name"):
        named(name, HERE)


def test_public_classes_of_a_module_come_from_its_own_package():
    found = allowed._library("kornia.augmentation")
    assert "RandomAffine" in found
    assert all(thing.__module__.startswith("kornia.") for thing in found.values())


def test_a_class_is_let_in_by_code_and_written_by_its_arguments():
    pipeline = fm.Pipeline(batch=Brighter(0.5, clip=False))
    with pytest.raises(
        fm.FeatmixError, match=r"to_dict: batch: .*test_allowed\.Brighter\. Let it in by featmix\.configuration\.allow"
    ):
        fm.to_dict(pipeline)
    assert allow(Brighter) is Brighter
    written = fm.to_dict(pipeline)
    assert written["batch"] == {"class": f"{__name__}.Brighter", "arguments": {"by": 0.5, "clip": False}}
    again = fm.from_dict(written).batch
    assert (type(again), again.by, again.clip) == (Brighter, 0.5, False)


def test_a_function_is_let_in_by_code_and_written_by_name():
    written = fm.to_dict(fm.Pipeline(batch=allow(darker)))
    assert written["batch"] == {"function": f"{__name__}.darker"}
    assert fm.from_dict(written).batch is darker
    del allowed._THINGS[f"{__name__}.darker"]
    with pytest.raises(fm.FeatmixError, match=r"batch\.function: expected the name of something that is allowed"):
        fm.from_dict(written)


def test_a_module_lets_in_what_it_defines_and_nothing_that_it_imports():
    module = types.ModuleType("my_transforms")
    exec(
        "import os\nfrom os import system\ndef mine(x):\n    return x\ndef _hidden(x):\n    return x\nclass Mine: pass",
        vars(module),
    )
    allow(module)
    assert named("my_transforms.mine", HERE) is module.mine
    assert named("my_transforms.Mine", HERE) is module.Mine
    for name in ("_hidden", "system", "os"):
        with pytest.raises(fm.FeatmixError):
            named(f"my_transforms.{name}", HERE)
    with pytest.raises(fm.FeatmixError):
        named("os.system", HERE)
    assert os.system not in allowed._THINGS.values()


@pytest.mark.parametrize(
    "thing", [lambda x: x, type("Local", (), {"__qualname__": "f.<locals>.Local"}), Brighter(1), "os.system", 3]
)
def test_what_has_no_name_is_not_let_in(thing):
    with pytest.raises(fm.FeatmixError, match="allow: thing: expected"):
        allow(thing)


@pytest.fixture
def forgotten(monkeypatch):
    """torchvision as if nobody had imported it."""
    for module in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, module)
    allowed._library.cache_clear()
    yield
    allowed._library.cache_clear()


def test_a_library_that_cannot_be_loaded_is_named(monkeypatch, tmp_path, forgotten):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(fm.FeatmixError, match=r"class: expected torchvision to be loadable.*nms.*belongs to this torch"):
        named("torchvision.transforms.v2.RandomCrop", HERE.key("class"))


def test_a_library_that_is_missing_is_named(monkeypatch, forgotten):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(fm.FeatmixError, match=r'class: expected torchvision to be installed.*pip install "torchvision"'):
        named("torchvision.transforms.v2.RandomCrop", HERE.key("class"))
