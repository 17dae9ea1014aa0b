import pytest

from tests.examples.running import load, run
from tests.interop.real_torchvision import torchvision_or_skip

torchvision_or_skip()  # timm imports it
pytest.importorskip("timm")

SMALL = ("--img-size", "16")


def test_it_learns_and_mixes_in_all_epochs_but_the_last(capsys):
    found = run("timm_digits", epochs=2, limit=660, flags=(*SMALL, "--featmix", "moex:lam=0.9,p=0.5"))
    assert found["accuracy"] > 0.3  # of ten classes, after 40 steps
    assert found["steps"] == 40
    assert found["mixed in the last epoch"] == 0
    assert 4 < found["mixed"] < 16  # half of the steps of one epoch
    assert "MoEx in 0 of 20 steps" in capsys.readouterr().out


def test_without_the_flag_nothing_is_mixed_in_the_model():
    assert run("timm_digits", epochs=1, limit=66, flags=SMALL)["mixed"] == 0
    assert load("timm_digits")["parsed"]().featmix is None
