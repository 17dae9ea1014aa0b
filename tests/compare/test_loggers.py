"""What loggers are told, read from the files that they wrote."""

import io

import pytest
from rich.console import Console

from featmix import FeatmixError
from featmix.compare.experiment import compare
from featmix.compare.loggers import LOGGERS, checked_logger
from featmix.compare.network import SmallResNet

SMALL = {"seeds": 1, "epochs": 2, "limit": 70, "styles": "plain", "model": lambda num_classes: SmallResNet(num_classes, 4)}


def run(out, **arguments):
    return compare(["moex@stem"], out=out, console=Console(file=io.StringIO()), **SMALL, **arguments)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return run(tmp_path_factory.mktemp("plain"))


def test_tensorboard_has_the_losses_and_what_the_run_came_to(tmp_path, plain):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = run(tmp_path, logger="tensorboard")
    assert [(row.key, row.in_domain_accuracy) for row in found.rows] == [
        (row.key, row.in_domain_accuracy) for row in plain.rows
    ]
    for row in found.rows:
        events = accumulators.EventAccumulator(str(tmp_path / "logs" / row.label / "seed0"))
        events.Reload()
        assert [each.step for each in events.Scalars("training_loss")] == [1, 2]
        (accuracy,) = events.Scalars("in_domain_accuracy")
        assert accuracy.value == pytest.approx(row.in_domain_accuracy, abs=1e-6)


def test_what_is_no_logger_is_refused_before_the_first_run(tmp_path):
    with pytest.raises(FeatmixError, match="Did you mean 'tensorboard'"):
        run(tmp_path, logger="tensorbord")
    assert not (tmp_path / "runs.csv").exists()


@pytest.mark.parametrize("kind", ["wandb", "mlflow"])
def test_what_is_not_installed_is_named(kind):
    try:
        __import__(kind)
    except ImportError:
        with pytest.raises(FeatmixError, match=f"logger: expected {kind} to be installed"):
            checked_logger(kind)
    assert kind in LOGGERS
