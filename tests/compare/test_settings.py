from pathlib import Path

import pytest

from featmix.compare.settings import Settings, resolve
from featmix.errors import FeatmixError


def test_what_suits_the_data_is_filled_in():
    assert resolve({}) == Settings()
    assert resolve({"data": "fashion-mnist"}).limit == 2000
    assert resolve({"epochs": None, "limit": None}, quick=True) == Settings(epochs=1, limit=300)
    assert resolve({"epochs": 3}, quick=True).epochs == 3
    assert resolve({"data": "folder:x"}).data.startswith("folder:/")
    assert resolve({"data": "folder:x"}).size == 32
    assert resolve({"data": "fashion-mnist", "root": Path("x")}).root.startswith("/")
    assert resolve({"device": "auto"}).device in ("cpu", "cuda", "mps")


def test_a_setting_that_does_not_exist_is_refused():
    with pytest.raises(FeatmixError, match=r"compare: epoch: expected a known setting, got 'epoch'\. Did you mean 'epochs'"):
        resolve({"epoch": 3})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": 1.5}, "epochs"),
        ({"limit": -1}, "limit"),
        ({"batch_size": 1}, "batch_size"),
        ({"batch_size": 3, "devices": 2}, "batch_size"),
        ({"lr": float("nan")}, "lr"),
        ({"lr": -1.0}, "lr"),
        ({"precision": "bf16"}, "bf16-mixed"),
        ({"precision": "16-mixed"}, "bf16-mixed"),
        ({"device": "gpu"}, "device"),
        ({"device": "cpu:1"}, "device"),
        ({"size": 4}, "size"),
        ({"device": "cuda:99"}, "100 cuda device"),
    ],
)
def test_refusals(changed, message):
    with pytest.raises(FeatmixError, match=message):
        Settings(**changed)
