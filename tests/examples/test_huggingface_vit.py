import pytest
import torch

from tests.examples.running import load, run

pytest.importorskip("transformers")


def test_it_learns_and_leaves_the_class_token_alone():
    found = run("huggingface_vit", epochs=8)
    assert found["accuracy"] > 0.6
    assert found["class_token_changed"] == 0.0
    assert 0 < found["steps_with_moex"] < found["steps"]
    assert found["steps_with_patches_changed"] == found["steps_with_moex"]


def test_a_class_token_that_is_mixed_too_would_be_noticed():
    names = load("huggingface_vit")
    moex = names["fm"].MoEx
    names["fm"] = type("Replaced", (), {**vars(names["fm"]), "Mixup": names["fm"].Mixup})
    names["fm"].MoEx = lambda norm, num_prefix_tokens, **settings: moex(norm, **settings)
    with torch.random.fork_rng():
        assert names["main"](epochs=1, limit=320)["class_token_changed"] > 0.01
