import pytest
import torch

from featmix import Mixture
from tests.examples.running import load, run

pytest.importorskip("kornia")

THEN = Mixture.then


def test_it_learns_and_labels_are_exact(capsys):
    found = run("kornia_cutmix_moex", epochs=4)
    assert found["accuracy"] > 0.8
    assert found["label_gap"] < 1e-6
    assert found["loss_gap"] < 1e-5
    assert "row 0 of the last batch: " in capsys.readouterr().out


def test_content_is_measured():
    names = load("kornia_cutmix_moex")
    model, x = names["network"](), torch.rand(8, 1, 16, 16)
    tree = {"input": names["CUTMIX"], "layer1": names["MOEX"]}
    for seed in range(20):  # the first with boxes in all rows
        with names["fm"].attach(model, tree, seed=seed) as mixer:
            mix = mixer.draw(x)
        box = mix.params["input"].mixture.matrix()
        if bool(((box > 0).sum(1) == 2).all()):
            break
    held = names["content"](mix, x.shape)
    assert bool(((box > 0).sum(1) == 2).all()), "a seed with boxes"
    assert bool(((held > 0).sum(1) > 2).all())
    torch.testing.assert_close(held, mix.params["layer1"].mixture.matrix() @ box)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda first, second: THEN(second, first),  # the other order
        lambda first, second: first,  # MoEx forgotten
        lambda first, second: second,  # CutMix forgotten
    ],
)
def test_it_stops_where_labels_are_wrong(wrong, monkeypatch):
    def then(first, second):
        mixed = bool((first.matrix() != torch.eye(len(first))).any())  # the first one of a step is no mix
        return wrong(first, second) if mixed else THEN(first, second)

    monkeypatch.setattr(Mixture, "then", then)
    with pytest.raises(AssertionError, match="Tensor-likes are not close"):
        run("kornia_cutmix_moex", epochs=1)
