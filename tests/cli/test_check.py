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

class Talks(fm.Mixup):
    def __init__(self):
        super().__init__()
        print("made")

    def act(self, x, params):
        print("acts")
        return super().act(x, params)

class Exits(fm.Mixup):
    def act(self, x, params):
        raise SystemExit("had enough")

class NeverMade:
    def __init__(self):
        raise SystemExit("not even made")

class FrozenBatchNorm2d(torch.nn.Module):
    pass

print("imported")
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


@pytest.mark.parametrize("name", ["moex", "moex:norm=in", "moex:norm=over:cw", "gn2", "IN", "over:cw"])
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


def test_what_a_subject_prints_is_not_in_the_answer(folder):
    result = check(f"{folder}:Talks", "--laws", "identity,dense_targets", *QUICK, "--json")
    answer = json.loads(result.stdout)
    assert {record["law"]: record["status"] for record in answer["records"]} == {
        "identity": "passed", "dense_targets": "skipped",
    }  # fmt: skip
    assert all(word in result.stderr for word in ("imported", "made", "acts"))


def test_an_exit_is_a_failure_with_its_name(folder):
    result = check(f"{folder}:Exits", "--laws", "identity", *QUICK, "--json")
    (record,) = json.loads(result.stdout)["records"]
    assert (result.exit_code, record["status"], record["measured"]) == (1, "failed", "SystemExit: had enough")
    result = check(f"{folder}:NeverMade", *QUICK)
    assert result.exit_code == 2
    assert "got SystemExit: not even made" in result.output


def test_a_module_that_exits_when_imported(folder, tmp_path):
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")
    result = check("leaves:X")
    assert result.exit_code == 2
    assert "expected leaves to be importable, got SystemExit: 3" in result.output


@pytest.mark.parametrize("path", ["{name}.py", "./{name}.py", "{folder}/{name}.py"])
def test_a_file_is_a_module(folder, tmp_path, path):
    target = path.format(name=folder, folder=tmp_path)
    result = check(f"{target}:fade", "--laws", "replay", *QUICK)
    assert result.exit_code == 0, result.output
    assert f"{target}:fade: all 1 passed" in result.stdout.replace("\n", "")


def test_a_file_beside_another_one(folder, tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "helps_fade.py").write_text("half = 0.5\n")
    (tmp_path / "below" / "fades_with_help.py").write_text(
        "from helps_fade import half\ndef fade(x, partner):\n    return half * x + half * x[partner]\n"
    )
    result = check("below/fades_with_help.py:fade", "--laws", "replay", *QUICK)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("target", "said"),
    [("{name}x.py:fade", "Did you mean '{name}.py'"), ("json.py:fade", "Rename it"), ("{name}.py:fad", "Did you mean 'fade'")],
)
def test_files_that_will_not_do(folder, tmp_path, target, said):
    (tmp_path / "json.py").write_text("def fade(x, partner): return x\n")
    result = check(target.format(name=folder))
    assert result.exit_code == 2
    assert said.format(name=folder) in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("torch.nn:BatchNorm2d", "fm.normalizer('bn')"),
        ("torch.nn:SyncBatchNorm", "of all processes"),
        ("torch.nn:RMSNorm", "without a mean"),
        ("{name}:FrozenBatchNorm2d", "stored numbers"),
    ],
)
def test_layers_without_moments_of_a_sample_get_an_answer_of_their_own(folder, name, said):
    result = check(name.format(name=folder))
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_the_slowest_and_the_skipped_are_named(folder):
    result = check(f"{folder}:fade", "--laws", "replay,moments,labels", *QUICK)
    assert "skipped moments: it is for strategies that restore with moments that they name" in result.stdout
    assert "slowest: " in result.stdout
    assert "all 2 passed, 1 skipped" in result.stdout
    answer = json.loads(check(f"{folder}:fade", "--laws", "replay,labels", *QUICK, "--json").stdout)
    assert {one["law"] for one in answer["slowest"]} == {"replay", "labels"}
    assert answer["unfinished"] == []


def test_a_budget_says_what_was_not_finished(folder):
    result = check(f"{folder}:fade", "--laws", "replay", "--budget", "1e-9", "--dtype", "float32")
    assert result.exit_code == 0
    assert "1 NOT FINISHED within the budget" in result.stdout
    answer = json.loads(check(f"{folder}:fade", "--laws", "replay", "--budget", "1e-9", "--json").stdout)
    assert answer["unfinished"] == ["replay"]


def test_examples_thorough_and_the_variable(folder, monkeypatch):
    def tried(*arguments):
        answer = json.loads(check(f"{folder}:fade", "--laws", "replay", "--dtype", "float32", "--json", *arguments).stdout)
        return answer["records"][0]["examples"]

    monkeypatch.delenv("FEATMIX_EXAMPLES", raising=False)
    assert [tried(), tried("--thorough"), tried("--examples", "3")] == [20, 200, 3]
    monkeypatch.setenv("FEATMIX_EXAMPLES", "9")
    assert tried() == 9
    monkeypatch.setenv("FEATMIX_EXAMPLES", "nine")
    assert "FEATMIX_EXAMPLES: expected a whole number" in " ".join(check(f"{folder}:fade").output.split())


@pytest.mark.parametrize(
    ("target", "subjects"),
    [
        ("cutmix+moex:lam=0.8", ["cutmix", "moex:lam=0.8"]),
        ("moex/imagenet-resnet50", ["moex at maxpool"]),
        ("moex:eps=1e-3", {"subject": "moex:eps=1e-3"}),
    ],
)
def test_each_strategy_of_a_preset_or_a_combination_is_checked(target, subjects):
    arguments = ["check", target, "--laws", "identity", "--examples", "1", "--dtype", "float64", "--no-attached", "--json"]
    answer = json.loads(CliRunner().invoke(app, arguments).stdout)
    if isinstance(subjects, dict):
        assert (answer["subject"], answer["passed"]) == (subjects["subject"], True)
    elif len(subjects) == 1:
        assert (answer["subject"], answer["passed"]) == (subjects[0], True)
    else:
        assert [(one["subject"], one["passed"]) for one in answer] == [(name, True) for name in subjects]
