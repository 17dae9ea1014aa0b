import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from featmix.cli.check import find_subject
from featmix.cli.main import app
from featmix.errors import FeatmixError

MODULE = """
import torch
import featmix as fm

norm = fm.normalizer("gn2")
layer = torch.nn.GroupNorm(2, 4)

class Space:
    strategy = fm.Mixup()

def fade(x, partner):
    return 0.5 * (x + x[partner])

def wrong(x, partner):
    return 0.5 * (x + x[partner.argsort()])
"""
QUICK = ["--examples", "5", "--dtype", "float32", "--no-attached"]
runner = CliRunner()


@pytest.fixture
def folder(tmp_path, monkeypatch, request):
    """A module of a name of its own, in the current folder."""
    name = f"mine_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield name
    sys.modules.pop(name, None)


def check(*arguments):
    return runner.invoke(app, ["check", *arguments])


def test_what_holds(folder):
    result = check(f"{folder}:fade", *QUICK)
    assert result.exit_code == 0, result.output
    assert "partner_direction" in result.stdout
    assert "passed" in result.stdout
    assert f"{folder}:fade: all " in result.stdout


def test_what_does_not(folder):
    result = check(f"{folder}:wrong", "--laws", "partner_direction,replay", "--examples", "20", "--dtype", "float32")
    assert result.exit_code == 1
    assert "breaks the law 'partner_direction'" in result.stdout
    assert "smallest input" in result.stdout
    assert "1 of 2 failed" in result.stdout


def test_json(folder):
    result = check(f"{folder}:wrong", "--laws", "partner_direction", "--dtype", "float32", "--json")
    answer = json.loads(result.stdout)
    assert result.exit_code == 1
    assert answer["passed"] is False
    (record,) = answer["records"]
    assert (record["law"], record["dtype"], record["status"]) == ("partner_direction", "float32", "failed")
    assert record["examples"] > 0
    assert "smallest input" in record["message"]


def test_dtypes_may_be_several(folder):
    result = check(
        f"{folder}:norm", "--laws", "restores", "--examples", "3", "--dtype", "float16", "--dtype", "float64", "--json"
    )
    assert [record["dtype"] for record in json.loads(result.stdout)["records"]] == ["float16", "float64"]


@pytest.mark.parametrize("name", ["norm", "layer", "Space.strategy"])
def test_all_sorts_of_subjects(folder, name):
    laws = "isolation" if name == "Space.strategy" else "leaves_input_alone"
    result = check(f"{folder}:{name}", "--laws", laws, "--examples", "1", "--dtype", "float64")
    assert "passed" in result.stdout or "more than 1 value" in result.stdout


@pytest.mark.parametrize("name", ["moex", "moex:norm=in", "gn2", "IN"])
def test_names_that_featmix_knows(name):
    laws = "moments" if "moex" in name else "restores"
    result = check(name, "--laws", laws, *QUICK)
    assert result.exit_code == 0, result.output


def test_a_bare_name_always_mixes():
    assert find_subject("mixstyle").p == 1.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere_at_all:X"], "expected a module, got 'nowhere_at_all'"),
        (["featmix.strategies.moxe:MoEx"], "Did you mean 'moex'"),
        (["featmix.strategies.moex:MoX"], "Did you mean 'MoEx'"),
        (["mxup"], "Did you mean 'mixup'"),
        (["moex:nrm=in"], "Did you mean 'norm'"),
        (["moex", "--laws", "momnts"], "Did you mean 'moments'"),
        (["moex", "--dtype", "float31"], "Did you mean 'float32'"),
        (["torch.nn:ReLU"], "adapt: subject: expected a Strategy"),
        (["torch.nn:GroupNorm"], "Pass an instance"),
        (["mixup", "--laws", "moments"], "expected laws that apply"),
        (["moex", "--examples", "0"], ""),
    ],
)
def test_bad_input(arguments, said):
    result = check(*arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_module_that_does_not_import(folder, tmp_path):
    (tmp_path / "needs.py").write_text("import not_there_at_all\n")
    with pytest.raises(FeatmixError, match="needs to be importable, got ModuleNotFoundError"):
        find_subject("needs:X")


def test_the_command_runs_in_two_processes_from_the_current_folder(folder):
    command = [sys.executable, "-m", "featmix.cli", "check", f"{folder}:fade", "--laws", "ddp,fires", "--json"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert {record["law"]: record["status"] for record in json.loads(result.stdout)["records"]} == {
        "fires": "passed", "ddp": "passed",
    }  # fmt: skip
    assert "2 of 2 laws" in result.stderr
    assert "0 failed" in result.stderr
