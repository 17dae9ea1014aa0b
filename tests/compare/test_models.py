import functools
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from featmix.compare.models import checked_word, fingerprint, is_nameless, maker_of, name_of, shown
from featmix.compare.settings import resolve
from featmix.errors import FeatmixError
from tests.compare import nets

NETS = str(Path(nets.__file__))


def made(word, num_classes=7, size=(16, 16), factory=None):
    return maker_of(word, factory)(num_classes, size, 8)


def test_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checked_word("nets.py:Sub.make") == f"{tmp_path}/nets.py:Sub.make"
    assert checked_word("small") == "small"
    assert checked_word("timm:resnet18.a1_in1k") == "timm:resnet18.a1_in1k"
    assert shown(checked_word("nets.py:make")) == "nets.py:make"
    for word in ("smal", "nets.py", "timm", "timm:", "a b:c", "nets.py:", ":make", "resnet18"):
        with pytest.raises(FeatmixError, match="compare: model: expected small, timm:NAME"):
            checked_word(word)
    with pytest.raises(FeatmixError, match=r"nets\.py:FUNCTION"):
        checked_word("nets.py")


def test_networks_are_made_by_file_and_by_module():
    for word in (f"{NETS}:make", "tests.compare.nets:Tiny", "tests.compare.nets:by_name_only"):
        assert made(word).fc.out_features == 7


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("broken", "given the number of classes, got RuntimeError: no such thing"),
        ("not_a_network", "expected a torch.nn.Module, got list"),
        ("ONE", "a new network each time, got the network itself"),
        ("UNUSED", "a new network each time, got Tensor"),
        ("mak", "Did you mean 'make'"),
    ],
)
def test_what_makes_no_network_is_refused(name, said):
    with pytest.raises(FeatmixError, match=said):
        made(f"tests.compare.nets:{name}")


def test_functions_are_named_where_another_process_finds_them():
    assert name_of(nets.make) == "tests.compare.nets:make"
    assert name_of(nets.Tiny) == "tests.compare.nets:Tiny"
    local = lambda num_classes: nets.Tiny(num_classes)  # noqa: E731
    for one in (local, functools.partial(nets.Tiny, width=2), nets.Tiny(3).forward):
        assert is_nameless(name_of(one))
    assert made(name_of(local), factory=local).fc.out_features == 7


def test_functions_of_a_script_are_named_by_its_file_and_those_of_a_notebook_are_not(tmp_path):
    code = "from featmix.compare.models import name_of\ndef make(n): ...\nprint(name_of(make))\n"
    (tmp_path / "script.py").write_text(f"{code}del __file__  # as in a notebook\nprint(name_of(make))\n")
    said = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=True).stdout
    first, second = said.split()
    assert first == f"{tmp_path / 'script.py'}:make"
    assert is_nameless(second)


def test_the_fingerprint_follows_the_file_and_the_shapes(tmp_path):
    before = fingerprint("tests.compare.nets:make", nets.make(3))
    assert fingerprint("tests.compare.nets:make", nets.make(3)) == before
    assert fingerprint("tests.compare.nets:make", nets.make(4)) != before
    file = tmp_path / "own_nets_of_a_test.py"
    file.write_text("from torch import nn\ndef make(n): return nn.Linear(3, n)\n")
    first = fingerprint(f"{file}:make", nn.Linear(3, 2))
    file.write_text("from torch import nn\ndef make(n): return nn.Linear(3, n)  # edited\n")
    assert fingerprint(f"{file}:make", nn.Linear(3, 2)) != first


def test_settings_know_models():
    own = resolve({"model": "tests.compare.nets:make"})
    assert (own.lr, own.width) == (0.001, 8)
    assert resolve({"model": "small"}).lr == 0.01
    assert resolve({"model": "tests.compare.nets:make", "lr": 0.5, "data": "folder:x"}).lr == 0.5
    with pytest.raises(FeatmixError, match="width: expected none but for the small network, got 16"):
        resolve({"model": "tests.compare.nets:make", "width": 16})


def test_amp_is_mixed_precision():
    assert resolve({"amp": True}).precision == "bf16-mixed"
    assert resolve({"amp": True, "device": None}).precision == "bf16-mixed"
    assert resolve({"amp": None}).precision == "32-true"
    with pytest.raises(FeatmixError, match="either amp or a precision, got both, '64-true'"):
        resolve({"amp": True, "precision": "64-true"})


def test_names_of_timm():
    from tests.interop.real_torchvision import torchvision_or_skip

    torchvision_or_skip()  # timm imports it
    pytest.importorskip("timm")
    assert made("timm:resnet10t", 3)(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    assert made("timm:vit_tiny_patch16_224", 3, (32, 32)).patch_embed.img_size == (32, 32)
    with pytest.raises(FeatmixError, match="a network of timm, got 'resnet-18'"):
        made("timm:resnet-18")
    with pytest.raises(FeatmixError, match="a network of timm"):
        made("timm:hf-hub:timm/resnet18.a1_in1k")  # a place to download from
