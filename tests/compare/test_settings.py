import pytest

from featmix.compare.settings import Settings, resolve
from featmix.errors import FeatmixError

UNSAID = dict.fromkeys(("root", "limit", "size", "width", "epochs")) | {
    "batch_size": 64,
    "lr": 0.01,
    "device": "cpu",
    "devices": 1,
    "precision": "32-true",
    "quick": False,
}


def test_what_suits_the_data_is_filled_in():
    assert resolve(data="fashion-mnist", **UNSAID).limit == 2000
    assert resolve(data="digits", **{**UNSAID, "quick": True}).epochs == 1
    assert resolve(data="digits", **{**UNSAID, "quick": True, "epochs": 3}).epochs == 3
    assert resolve(data="folder:x", **UNSAID).data.startswith("folder:/")
    assert resolve(data="digits", **{**UNSAID, "device": "auto"}).device in ("cpu", "cuda", "mps")


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
