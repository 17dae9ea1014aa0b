"""Whole comparisons of networks and data that are the user's own."""

import io
import json
import re
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from featmix.compare import compare
from featmix.compare.contenders import contender
from featmix.compare.output import versions
from featmix.compare.results import read_rows
from featmix.compare.settings import Settings, completed
from featmix.compare.training import Run, train
from featmix.errors import FeatmixError
from tests.compare import nets
from tests.compare.test_own_data import Pictures, source_of

NETS = str(Path(nets.__file__))
DATA = {"photo": Pictures(range(0, 60)), "art": Pictures(range(90, 150))}
QUICK = {"data": DATA, "size": 12, "epochs": 1, "batch_size": 20, "seeds": 1}


def run(out, *strategies, **settings):
    console = Console(file=io.StringIO(), width=150)
    found = compare(strategies, out=out, console=console, **{**QUICK, **settings})
    return found, console.file.getvalue()


def measured(rows):
    return {row.key: (row.in_domain_accuracy, row.held_out_accuracy, row.calibration_error, row.error) for row in rows}


def nameless():
    return lambda num_classes: nets.Tiny(num_classes)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A comparison in this process, of a network that no other process could make."""
    out, state = tmp_path_factory.mktemp("alone"), torch.get_rng_state()
    found, said = run(out, "moex", "mixup", "moex/imagenet-resnet50", "manifold-mixup", model=nameless())
    assert torch.equal(torch.get_rng_state(), state)
    return found, said


def test_it_says_what_it_read_and_where_strategies_act(alone):
    found, said = alone
    assert found.failures == 0
    assert len(found.rows) == 2 * 5
    assert "dataset:Pictures: 120 images of 12 x 12, 3 classes (cat, dog, owl), 2 domains (photo, art); a seed decides" in said
    assert "Sites: stem is conv1, maxpool is conv1" in said
    assert "all runs are made in it, one after the other" in said


def test_settings_name_the_model_and_follow_its_content(alone):
    found, _ = alone
    record = json.loads((found.out / "settings.json").read_text())["settings"]
    assert record["model"] == "<nameless>:nameless.<locals>.<lambda>"
    assert re.fullmatch("[0-9a-f]{16}", record["model_fingerprint"])
    assert record["data"] == "dataset:Pictures"
    assert "as At('maxpool', MoEx" in (found.out / "summary.md").read_text()


def test_workers_make_the_same_rows_and_another_content_is_refused(alone, tmp_path):
    file = tmp_path / "my_nets_of_a_test.py"
    file.write_text(Path(nets.__file__).read_text())
    found, said = run(
        tmp_path / "out", "moex", "mixup", "moex/imagenet-resnet50", "manifold-mixup", model=f"{file}:make", jobs=1
    )
    assert measured(found.rows) == measured(alone[0].rows)
    assert "12 x 12" in said
    record = json.loads((found.out / "settings.json").read_text())["settings"]
    assert record["model"] == "my_nets_of_a_test.py:make"
    again, _ = run(tmp_path / "out", "moex", model=f"{file}:make")
    assert len(again.rows) == len(found.rows)
    file.write_text(file.read_text() + "# edited\n")
    with pytest.raises(FeatmixError, match=r"model_fingerprint: expected .*--fresh"):
        run(tmp_path / "out", "moex", model=f"{file}:make")


@pytest.mark.parametrize(
    ("strategies", "settings", "said"),
    [
        (["moex@layer9"], {}, "compare: site: expected a module or a stage of the network, got 'layer9'. Did you mean 'layer"),
        (["moex:norm=gn3"], {}, "gn3"),
        ([], {"model": nets.for_32_pixels}, "a network that takes 4 images of 12 x 12"),
        (
            [],
            {"model": nets.Tiny(3)},
            "compare: model: expected a function that makes a new network for each run, got the network",
        ),
        ([], {"model": 7}, "expected a name, or a function that takes the number of classes, got int"),
        ([], {"model": lambda n: nets.Tiny(n), "jobs": 2}, "got 2 for a model that only this process has. Define the function"),
        ([], {"model": "tests.compare.nets:make", "weights": "nowhere.pt"}, "a file of weights on this machine"),
    ],
)
def test_everything_is_refused_before_the_first_run(tmp_path, strategies, settings, said):
    with pytest.raises(FeatmixError, match=re.escape(said)):
        run(tmp_path, *strategies, **{"model": nets.make, **settings})
    assert not (tmp_path / "runs.csv").exists()


@pytest.fixture(scope="module")
def source():
    return source_of(DATA, 12)


def row(source, text="moex", held_out="art", **settings):
    given = {"model": "tests.compare.nets:make", "epochs": 1, "batch_size": 20, **settings}
    before = torch.get_rng_state()
    try:
        found = train(Run(contender(text, any_site=True), 0, held_out), Settings(**given), source)
    finally:
        torch.set_rng_state(before)
    return measured([found])


def test_dropout_is_the_same_for_all_strategies(source):
    """So that differences are paired: a strategy that never acts is training without it, bit for bit."""
    assert list(row(source, "moex:p=0.0").values()) == list(row(source, "none").values())


@pytest.mark.parametrize("settings", [{"precision": "bf16-mixed"}, {"compile": True}], ids=str)
def test_amp_and_compile(source, settings, monkeypatch):
    compiled, truly = [], torch.compile

    def noting(model, **more):
        compiled.append(type(model))
        return truly(model, **{**more, "backend": "eager"})  # a compiler of C++ takes a minute

    monkeypatch.setattr(torch, "compile", noting)
    (found,) = row(source, **settings).values()
    assert found[3] == ""
    assert 0 <= found[1] <= 1
    assert bool(compiled) is ("compile" in settings)


def test_weights_from_a_file(source, tmp_path):
    torch.manual_seed(3)
    save_file(nets.Tiny(3).state_dict(), tmp_path / "net.safetensors")
    assert row(source, weights=str(tmp_path / "net.safetensors")) != row(source)


def test_networks_of_timm_have_stages(source):
    from tests.interop.real_torchvision import torchvision_or_skip

    torchvision_or_skip()  # timm imports it
    pytest.importorskip("timm")
    (found,) = row(source, "cutmix+moex@stage1", model="timm:resnet10t").values()
    assert found[3] == ""


def test_settings_that_an_older_folder_lacks_are_those_by_default(alone, tmp_path):
    found, _ = alone
    record = json.loads((found.out / "settings.json").read_text())
    assert {**completed({}), "model": "x"} == {**vars(Settings()), "model": "x"}
    assert record["versions"] == versions()
    for name in ("runs.csv", "settings.json"):
        (tmp_path / name).write_bytes((found.out / name).read_bytes())
    for name in ("weights", "compile"):
        del record["settings"][name]
    (tmp_path / "settings.json").write_text(json.dumps(record))
    again, _ = run(tmp_path, "moex", model=nameless())
    assert read_rows(tmp_path / "runs.csv") == list(again.rows)
