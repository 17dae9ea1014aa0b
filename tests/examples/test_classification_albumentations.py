import pytest

from tests.examples.running import run

pytest.importorskip("albumentations")


def test_it_learns_and_its_file_gives_the_same_pipeline(capsys):
    found = run("classification_albumentations", epochs=4)
    assert found["accuracy"] > 0.8
    assert found["last_loss"] < found["first_loss"] / 2
    assert found["equal"] is True
    printed = capsys.readouterr().out
    assert "name: moex" in printed
    assert "__class_fullname__: Affine" in printed


def test_its_seed_repeats_it():
    first, second = (run("classification_albumentations", epochs=1, limit=320) for _ in range(2))
    assert first == second
    assert first["accuracy"] != run("classification_albumentations", epochs=1, limit=256)["accuracy"]
