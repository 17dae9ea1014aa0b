import pytest
import torch

from tests.examples.running import load, run

pytest.importorskip("albumentations")
pytest.importorskip("torchmetrics")


def test_training_improves_the_mean_iou():
    found = run("segmentation", epochs=5, limit=800)
    assert found["before"] < 0.1
    assert found["after"] > 0.3  # all background would be 0.07


@pytest.mark.slow
def test_labels_that_do_not_go_the_way_of_the_images_would_be_noticed(monkeypatch):
    names = load("segmentation")
    cut = names["fm"].CutMix.dense_targets
    monkeypatch.setattr(names["fm"].CutMix, "dense_targets", lambda own, masks, params: cut(own, masks.roll(1, 0), params))
    with torch.random.fork_rng():
        assert names["main"](epochs=5, limit=800)["after"] < 0.3


def test_its_masks_are_ink_of_the_right_class():
    train, test = load("segmentation")["digits"](10)
    assert (len(train), len(test)) == (10, 400)
    item = train[3]  # a three
    assert item["image"].shape == (24, 24, 1)
    assert set(item["mask"].ravel().tolist()) == {0, 4}
    assert item["image"][item["mask"] > 0].mean() > item["image"][item["mask"] == 0].mean() + 50
