"""The programs of docs/trainers/others.md, run where their libraries are installed, against loops that draw by hand."""

import ast
import importlib.util
import os
import re
import sys
import types
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import featmix as fm
from tests.test_docs import blocks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "trainers" / "others.md"


def recipe(heading):
    """The code under a heading, and its first line; skips where it imports what is not installed."""
    text = PAGE.read_text(encoding="utf-8")
    line = text.count("\n", 0, text.index(f"\n## {heading}\n"))
    first, code = next((at, code) for at, code, _ in blocks(text) if at > line)
    for node in ast.walk(ast.parse(code)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names or ([node.module] if isinstance(node, ast.ImportFrom) else []):
            if importlib.util.find_spec(name.partition(".")[0]) is None:
                pytest.skip(f"{name.partition('.')[0]} is not installed")
    return first, code


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs a recipe in a folder of its own, and returns its names."""
    monkeypatch.chdir(tmp_path)

    def run(heading):
        line, code = recipe(heading)
        module = types.ModuleType("recipe")  # which nobody can import: Ray then sends its functions as they are
        exec(compile("\n" * (line - 1) + code, str(PAGE), "exec"), vars(module))
        return module

    with torch.random.fork_rng():
        yield run


def by_hand(model, tree, batches, *, epochs, progress=False, state=None, optimizer=None):
    """The same training with a draw before each forward; gives the optimizer."""
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with fm.attach(model.train(), tree, seed=0) as mixer:
        if state is not None:
            mixer.load_state_dict(state)
        for step in range(epochs * len(batches)):
            x, y = batches[step % len(batches)]
            if progress:
                mixer.progress = step / (epochs * len(batches))
            mix = mixer.draw(x, target=y)
            loss = mix.loss(F.cross_entropy, model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return optimizer


def fresh(module, seed=0):
    """The recipe's model as it began: made right after its seed."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(288, 10))


def same(first, second):
    return all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))


def test_every_section_has_a_recipe_or_says_why_not():
    text = PAGE.read_text(encoding="utf-8")
    without = [
        section.partition("\n")[0] for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:] if "```python" not in section
    ]
    assert without == ["Composer"]
    assert "torch below" in text


def test_ignite(run, tmp_path):
    found = run("PyTorch Ignite")
    tree, batches = {"input": fm.CutMix(p=0.5), "0": fm.MoEx("pono", lam=0.9)}, list(found.loader)
    model = fresh(found)
    by_hand(model, tree, batches, epochs=2)
    assert same(found.model, model)
    # Resumed after one of two epochs: the same draws.
    saved = sorted(tmp_path.glob("checkpoints/*.pt"), key=lambda path: path.stat().st_mtime)
    assert len(saved) == 2
    found.Checkpoint.load_objects(found.to_save, torch.load(saved[0], weights_only=True))
    found.trainer.run(found.loader)
    assert found.trainer.state.epoch == 2
    assert same(found.model, model)
    # Evaluation between is plain.
    x, y = batches[0]
    found.model.eval()
    assert torch.equal(found.criterion(found.model(x), y), F.cross_entropy(found.model(x), y))


def test_skorch(run):
    found = run("skorch")
    assert found.net.score(found.X, found.y) > 0.5
    assert len(found.net.history) == 3
    torch.manual_seed(0)
    plan = found.MixedClassifier(
        found.Network, criterion=torch.nn.CrossEntropyLoss, optimizer__momentum=0.9, lr=0.1, max_epochs=2, train_split=None,
        batch_size=32, verbose=0,
    )  # fmt: skip
    plan.fit(found.X, found.y)
    model = fresh(found)
    batches = list(zip(torch.tensor(found.X).split(32), torch.tensor(found.y).split(32), strict=True))
    optimizer = by_hand(model, {"0": fm.MoEx("pono", lam=0.9)}, batches, epochs=2)
    assert same(plan.module_, model)
    state = plan.mixer_.state_dict()
    plan.partial_fit(found.X, found.y)
    by_hand(model, {"0": fm.MoEx("pono", lam=0.9)}, batches, epochs=2, state=state, optimizer=optimizer)
    assert same(plan.module_, model)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("FEATMIX_RAY_TRAIN"), reason="takes minutes: make nightly")
def test_ray_train(run, tmp_path, monkeypatch):
    found = run("Ray Train")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else Ray writes a file into the user's folder
    ray = sys.modules["ray"]
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        whole = found.fit(tmp_path / "whole", 2)
        half = found.fit(tmp_path / "half", 1)
        resumed = found.fit(tmp_path / "half", 2)
    finally:
        ray.shutdown()
    assert half.metrics["drawn"] != whole.metrics["drawn"]
    assert resumed.metrics == {**resumed.metrics, "drawn": whole.metrics["drawn"], "loss": whole.metrics["loss"]}
    with whole.checkpoint.as_directory() as one, resumed.checkpoint.as_directory() as other:
        models = [torch.load(Path(folder) / "training.pt", weights_only=True)["model"] for folder in (one, other)]
        assert all(map(torch.equal, models[0].values(), models[1].values()))
        ranks = [torch.load(Path(other) / f"mixer{rank}.pt", weights_only=True) for rank in range(2)]
    of_each = ranks[0].get("ranks", ranks)
    assert not torch.equal(of_each[0]["generator"], of_each[1]["generator"])
