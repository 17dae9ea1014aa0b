import csv

import numpy as np
import pytest
import torch

from featmix.errors import FeatmixError
from featmix.probe import probe
from featmix.probe.classifier import probe_accuracy

ASKED = {"seeds": 2, "sites": ["stem"], "norms": ["pono", "bn"], "epochs": 1, "limit": 80, "batch_size": 16, "width": 2}


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A small experiment, after which the process does its sums as before."""
    out, drawn = tmp_path_factory.mktemp("probe"), torch.get_rng_state()
    findings = probe(out=out, **ASKED)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.get_rng_state(), drawn)
    return out, findings


def rows(out):
    with (out / "probes.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_positional_moments_carry_the_class_and_those_of_batch_norm_do_not(asked):
    _, findings = asked
    assert [(one.network, one.norm) for one in findings] == [
        (network, norm) for network in ("trained", "untrained") for norm in ("pono", "bn")
    ]
    for one in findings:
        assert one.moments.seeds == 2
        if one.norm == "pono":
            assert one.moments.mean > 3 * one.chance
            assert one.moments.low <= one.moments.mean <= one.moments.high
        else:
            assert one.moments.mean < 2 * one.chance


def test_everything_is_written(asked):
    out, _ = asked
    assert len(rows(out)) == 2 * 2 * 2 * 3
    assert (out / "probe.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "moments.png").read_bytes().startswith(b"\x89PNG")
    assert "| trained | stem | pono |" in (out / "probe.md").read_text()


def test_an_interrupted_experiment_goes_on_to_the_same_end(asked, tmp_path):
    out, findings = asked
    for name in ("settings.json", "probes.csv"):
        (tmp_path / name).write_text((out / name).read_text())
    lines = (out / "probes.csv").read_text().splitlines()
    (tmp_path / "probes.csv").write_text("\n".join(lines[:9]) + "\n")
    assert probe(out=tmp_path, **ASKED) == findings
    assert sorted(map(str, rows(tmp_path))) == sorted(map(str, rows(out)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sites": ["layr1"]}, "Did you mean 'layer1'"),
        ({"norms": ["ponno"]}, "Did you mean 'pono'"),
        ({"domain": "invertd"}, "Did you mean 'inverted'"),
        ({"seeds": 0}, "probe: seeds: expected a whole number from 1 up, got 0"),
        ({"devices": 2}, "probe: devices: expected 1, got 2"),
        ({"batch_size": 100_000}, "expected at most the number of training images"),
    ],
)
def test_what_cannot_be_probed_is_refused_and_nothing_is_lost(given, said, tmp_path):
    with pytest.raises(FeatmixError, match=said):
        probe(out=tmp_path / "out", **{**ASKED, **given})


def test_a_folder_of_other_settings_is_left_alone(asked):
    out, _ = asked
    before = (out / "probes.csv").read_text()
    with pytest.raises(FeatmixError, match="expected a folder of the same settings"):
        probe(out=out, **{**ASKED, "lr": 0.5})
    assert (out / "probes.csv").read_text() == before


def test_a_damaged_table_says_which_line(asked, tmp_path):
    out, _ = asked
    (tmp_path / "settings.json").write_text((out / "settings.json").read_text())
    (tmp_path / "probes.csv").write_text((out / "probes.csv").read_text() + "nonsense\n")
    with pytest.raises(FeatmixError, match="line 26"):
        probe(out=tmp_path, **ASKED)


def test_a_probe_without_any_signal_names_the_commonest_class():
    constant, labels = np.ones((10, 3), np.float32), np.array([0, 1, 1, 1, 2, 0, 1, 2, 1, 1])
    assert probe_accuracy(constant, labels, constant, labels) == 0.6
