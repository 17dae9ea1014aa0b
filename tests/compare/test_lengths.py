"""Lengths of training side by side."""

import csv

import pytest
from PIL import Image
from rich.console import Console

from featmix import FeatmixError
from featmix.compare import experiment
from featmix.compare.lengths import chosen_lengths, compare_lengths, lengths_table, sentences
from featmix.compare.results import Row
from featmix.compare.statistics import summarize
from tests.compare.made_up import MadeUp


def rows(cutmix):
    level = [0.90, 0.92, 0.91]
    none = [Row("none", "", "", seed, "", value, None, 0.1, 0.01) for seed, value in enumerate(level)]
    return none + [Row("cutmix", "", "input", seed, "", value + cutmix, None, 0.1, 0.01) for seed, value in enumerate(level)]


@pytest.mark.parametrize(("later", "verdict"), [(0.0, "underfitted at the short training"), (-0.05, "some of it stays")])
def test_what_longer_training_makes_of_a_loss_is_said(later, verdict):
    found = {4: summarize(rows(-0.1)), 12: summarize(rows(later))}
    (said,) = sentences(found)
    assert said.startswith("cutmix: in-domain accuracy -10.0 ±0.0 points after 4 epoch(s)")
    assert verdict in said
    head, body = lengths_table(found)
    assert head == ["strategy", "in-domain, 4", "in-domain, 12"]
    assert body[1][1].startswith("81.0")
    assert "(-10.0 ±0.0 *)" in body[1][1]


def test_no_loss_no_sentence():
    assert sentences({4: summarize(rows(0.1)), 12: summarize(rows(-0.1))}) == []
    assert sentences({4: summarize(rows(-0.1))}) == []


@pytest.mark.parametrize("epochs", ["", "4,", "4,4", "0", "4;12", [], [4, 4], "-1", True])
def test_numbers_of_epochs_that_are_none(epochs):
    with pytest.raises(FeatmixError, match="epochs"):
        chosen_lengths(epochs)


def test_two_lengths_are_run_and_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "make_executor", MadeUp)
    console = Console(file=(tmp_path / "said.txt").open("w"), width=120)
    small = {"quick": True, "jobs": 1, "seeds": 1, "limit": 70}
    found = compare_lengths(["cutmix"], epochs="1,2", out=tmp_path / "out", console=console, **small)
    assert list(found) == [1, 2]
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"epochs-1", "epochs-2", "lengths.csv", "lengths.md", "lengths.png"}
    with (tmp_path / "out" / "lengths.csv").open() as file:
        assert [(line["epochs"], line["label"]) for line in csv.DictReader(file)] == [
            (epochs, label) for epochs in ("1", "2") for label in ("none", "cutmix")
        ]
    with Image.open(tmp_path / "out" / "lengths.png") as picture:
        assert picture.width > picture.height
