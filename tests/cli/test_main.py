import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

import featmix as fm
from featmix.cli.main import app
from featmix.compare.settings import Settings
from featmix.errors import FeatmixError
from featmix.presets.registry import known_presets

runner = CliRunner()


@pytest.fixture
def answer(monkeypatch):
    """Let `featmix compare` answer as given, and keep what it was called with."""
    calls = []

    def put(failures=0, error=None):
        def fake(strategies, **settings):
            calls.append((list(strategies), settings))
            if error is not None:
                raise error
            return type("Found", (), {"failures": failures})

        monkeypatch.setattr("featmix.compare.compare", fake)
        return calls

    return put


def test_list_shows_the_registry():
    result = runner.invoke(app, ["list"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    for name in fm.list_strategies():
        assert name in result.output
        assert fm.strategy_class(name).tags.paper[:12] in result.output


def test_list_as_json():
    result = runner.invoke(app, ["list", "--json"])
    cards = json.loads(result.output)
    assert [card["name"] for card in cards] == fm.list_strategies()
    assert cards[0]["mixes_labels"] is fm.strategy_class(cards[0]["name"]).tags.mixes_labels


def test_presets_shows_names_and_sources():
    result = runner.invoke(app, ["presets"], env={"COLUMNS": "250"})
    assert result.exit_code == 0
    for name, one in known_presets().items():
        assert name in result.output
        assert one.source.partition(", ")[0].removeprefix("https://github.com/") in result.output


def test_presets_as_json():
    cards = json.loads(runner.invoke(app, ["presets", "--json"]).output)
    assert [card["name"] for card in cards] == fm.list_presets()
    assert cards[0]["description"] == known_presets()[cards[0]["name"]].description


def test_one_preset_says_what_it_does_where():
    result = runner.invoke(app, ["presets", "MoEx/ImageNet-ResNet50"])
    assert result.exit_code == 0
    assert "At('maxpool', MoEx(norm='pono', lam=0.9, p=1.0))" in result.output
    (card,) = json.loads(runner.invoke(app, ["presets", "moex/imagenet-resnet50", "--json"]).output)
    assert card["does"] == "At('maxpool', MoEx(norm='pono', lam=0.9, p=1.0))"


def test_a_misspelt_preset_is_refused():
    result = runner.invoke(app, ["presets", "moex/imagenet-resnet51"])
    assert result.exit_code == 2
    assert "Did you mean 'moex/imagenet-resnet50'" in result.output


def test_arguments_reach_compare(answer):
    calls = answer()
    result = runner.invoke(
        app, ["compare", "moex:norm=in", "mixup", "--epochs", "2", "--site", "layer1", "--pipeline", "a.yaml", "--quick"]
    )
    assert result.exit_code == 0
    (strategies, settings), *_ = calls
    assert strategies == ["moex:norm=in", "mixup"]
    assert settings["epochs"] == 2
    assert settings["site"] == "layer1"
    assert settings["quick"] is True
    assert settings["pipelines"] == [Path("a.yaml")]
    assert settings["seeds"] is None
    assert settings["data"] is None


@pytest.mark.parametrize("one", fields(Settings), ids=lambda one: one.name)
def test_every_setting_is_an_option(answer, one):
    option = "--" + one.name.replace("_", "-")
    shown = " ".join(runner.invoke(app, ["compare", "--help"], env={"COLUMNS": "250"}).output.split())
    assert option in shown
    assert one.metadata["help"].partition(",")[0] in shown
    assert f"{one.name}: {one.metadata['help']}" in Settings.__doc__
    calls = answer()
    flag = one.type == "bool"
    assert runner.invoke(app, ["compare", option, *([] if flag else ["7"])]).exit_code == 0
    assert str(calls[0][1][one.name]).removesuffix(".0") == ("True" if flag else "7")


def test_no_arguments_leave_the_choice_to_compare(answer):
    calls = answer()
    assert runner.invoke(app, ["compare"]).exit_code == 0
    assert calls[0][0] == []


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ({"failures": 3}, 1, ""),
        (
            {"error": FeatmixError("compare", "lr", expected="[x]", got=1, fix="Do.")},
            2,
            "compare: lr: expected [x], got 1. Do.",
        ),
        (
            {"error": ModuleNotFoundError("no", name="torchmetrics.sub")},
            2,
            "torchmetrics.sub is missing: install featmix[compare]",
        ),
        (
            {"error": OSError(28, "No space left on device", "out/runs.csv")},
            3,
            "out/runs.csv: No space left on device. Make room",
        ),
        ({"error": PermissionError(13, "Permission denied", "out")}, 3, "out: Permission denied."),
        ({"error": KeyboardInterrupt()}, 130, ""),
    ],
)
def test_exit_status(answer, given, status, said):
    answer(**given)
    result = runner.invoke(app, ["compare"])
    assert result.exit_code == status
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_fault_of_ours_is_not_hidden(answer):
    answer(error=ModuleNotFoundError("no", name="featmix.nowhere"))
    assert isinstance(runner.invoke(app, ["compare"]).exception, ModuleNotFoundError)


def test_the_real_command_refuses_in_one_line():
    code = "from featmix.cli.main import main; main()"
    result = subprocess.run([sys.executable, "-c", code, "compare", "mixpu"], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("compare: strategy: expected a strategy, got 'mixpu'. Did you mean 'mixup'")
    assert result.stderr.count("\n") == 1


def test_version():
    assert runner.invoke(app, ["--version"]).output.startswith("featmix ")
