import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A
import kornia.augmentation as K

import featmix as fm
from featmix.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
runner = CliRunner()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pictures(folder):
    for number, name in enumerate(["cat", "dog", "hen"]):
        path = folder / "pictures" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.effect_noise((24 + number, 24), 60.0 + number).convert("RGB").save(path)
    return str(folder / "pictures")


def show(*arguments):
    return runner.invoke(app, ["show", *arguments], env={"COLUMNS": "200"})


def shares(path="show-out/labels.csv"):
    _, *rows = csv.reader(Path(path).read_text().splitlines())
    return torch.tensor([[float(share) for share in row[3:]] for row in rows if row[0] == "loss"])


def test_a_strategy_on_digits(folder):
    result = show("moex:lam=0.8", "--count", "3")
    assert result.exit_code == 0, result.output
    assert "At('stem', MoEx(norm='pono', lam=0.8, p=1.0))" in result.stdout
    assert "its weights are random" in result.stdout
    names = ["samples.png", "moments-stem.png", "labels.csv"]
    assert result.stdout.splitlines()[-3:] == [f"show-out/{name}" for name in names]
    assert sorted(path.name for path in (folder / "show-out").iterdir()) == sorted(names)
    assert shares().diagonal().tolist() == pytest.approx([0.8] * 3)


def test_a_site_to_look_at(folder):
    assert show("moex", "--site", "layer2").exit_code == 0
    result = show("cutmix", "--site", "layer1", "--out", "other", "--seed", "3")
    assert "At('input', " in result.stdout
    assert sorted(path.name for path in folder.glob("*/moments*")) == ["moments-layer1.png", "moments-layer2.png"]
    assert not list(folder.glob("other/moments-layer2.png"))


NET = """from collections import OrderedDict
from torch import nn

def make(num_classes):
    return nn.Sequential(OrderedDict(conv1=nn.Conv2d(3, 4, 3), layer1=nn.Conv2d(4, 4, 3), fc=nn.Identity()))
"""


def test_layers_of_a_network_of_ones_own(folder):
    (folder / "own_net_to_show.py").write_text(NET)
    result = show("moex:lam=0.8", "--model", "own_net_to_show.py:make", "--count", "2")
    assert result.exit_code == 0, result.output
    assert "At('conv1', MoEx(norm='pono', lam=0.8, p=1.0))" in result.stdout  # its stem
    assert "random" not in result.stdout
    result = show("moex/imagenet-resnet50", "--model", "own_net_to_show.py:make", "--site", "stage1", "--count", "2")
    assert result.exit_code == 0, result.output
    assert (folder / "show-out" / "moments-layer1.png").exists()
    result = show("moex@nowhere", "--model", "own_net_to_show.py:make")
    assert result.exit_code == 2
    assert "show: site: expected a module or a stage of the network, got 'nowhere'" in result.output


def test_a_strategy_at_the_input_has_no_hidden_maps(folder):
    result = show("mixup")
    assert result.exit_code == 0
    assert "random" not in result.stdout
    assert sorted(path.name for path in (folder / "show-out").iterdir()) == ["labels.csv", "samples.png"]


def test_presets():
    result = show("manifold-mixup/cifar", "--count", "2")
    assert result.exit_code == 0
    assert "OneOf([At(site, ManifoldMixup(" in result.stdout


def test_own_pictures(pictures):
    result = show("mixup:alpha=1.0", "--images", pictures, "--size", "16")
    assert result.exit_code == 0, result.output
    assert "  cat -> " in result.stdout
    assert shares().shape == (3, 3)
    assert show("mixup", "--images", f"{pictures}/cat.png", "--images", f"{pictures}/dog.png").exit_code == 0
    assert shares().shape == (2, 2)


def test_a_pipeline_from_a_file(pictures):
    fm.save(
        fm.Pipeline(
            sample=A.Compose([A.RandomCrop(20, 20), A.HorizontalFlip()]),
            batch=K.AugmentationSequential(K.RandomAffine(15.0), K.ColorJiggle(0.1, 0.1)),
            mix={"layer1": fm.MoEx(lam=0.9)},
        ),
        "aug.yaml",
    )
    for arguments in ([], ["--images", pictures]):
        result = show("--pipeline", "aug.yaml", *arguments)
        assert result.exit_code == 0, result.output
        assert "show-out/moments-layer1.png" in result.stdout
        assert shares().diagonal().tolist() == pytest.approx([0.9] * len(shares()))
    assert "expected images that the pipeline takes" in show("--pipeline", "aug.yaml", "--size", "8").output


def test_trees_and_strategies_from_files():
    fm.save({"input": fm.CutMix(), "stem": fm.MoEx()}, "tree.yaml")
    fm.save(fm.MoEx(lam=0.7), "moex.yaml")
    fm.save(fm.normalizer("pono"), "norm.yaml")
    assert "Compose([At('input', CutMix(" in show("--pipeline", "tree.yaml").stdout
    assert "lam=0.7" in show("--pipeline", "moex.yaml", "--site", "layer1").stdout
    assert "show: what: expected a strategy, a preset, a tree or a pipeline" in show("--pipeline", "norm.yaml").output


def test_a_step_that_mixes_nothing_says_so():
    assert "nothing was mixed in this step; another --seed" in show("cutmix:p=0").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "show: expected either a strategy or --pipeline, got neither. For example: featmix show moex"),
        (["moex", "--pipeline", "aug.yaml"], "show: expected either a strategy or --pipeline, got both"),
        (["--pipeline", "aug.yaml"], "aug.yaml: expected a file that can be read"),
        (["mixpu"], "show: strategy: expected a strategy, got 'mixpu'. Did you mean 'mixup'"),
        (["moex", "--site", "layr1"], "Did you mean 'layer1'"),
        (
            ["cutmix", "--site", "layr1"],
            "show: site: expected a layer of the small network, got 'layr1'. Did you mean 'layer1'",
        ),
        (["cutmix", "--site", "layr1"], "Of another network: --model, or featmix.show.show(..., model=...) in Python."),
        (["moex", "--data", "digts"], "Did you mean 'digits'"),
        (["moex", "--data", "digits", "--images", "."], "show: images: expected either --data or --images, got both"),
        (["moex", "--images", "nowhere"], "got nowhere, which does not exist"),
        (["moex", "--images", ".", "--root", "."], "show: root: expected none but for fashion-mnist"),
        (["moex", "--count", "0"], "show: count: expected a whole number from 1 up, got 0"),
        (["moex", "--size", "0"], "show: size: expected a whole number from 1 up, got 0"),
        (["moex", "--seed", "-1"], "show: seed: expected a whole number from 0 up, got -1"),
    ],
)
def test_what_is_refused_writes_nothing(arguments, said, folder):
    result = show(*arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output
    assert not (folder / "show-out").exists()


def test_without_matplotlib_it_says_what_to_install(monkeypatch, folder):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = show("cutmix")
    assert result.exit_code == 2
    assert "featmix[compare]" in result.output
    assert not (folder / "show-out").exists()


def test_the_real_command(folder):
    code = "from featmix.cli.main import main; main()"
    command = [sys.executable, "-c", code, "show", "mixup", "--count", "2", "--out", str(folder / "new")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(folder / "new" / "labels.csv")


def test_a_preset_says_which_sites_stand_for_its_own(folder):
    result = show("dsu/pacs-resnet18", "--count", "2")
    assert result.exit_code == 0
    assert "stem for conv1 and 1 more" in result.output
