"""The stock Trainer trains what a loop by hand does: accumulated, checkpointed, evaluated between, on images, sound, text."""

from functools import partial

import pytest
import torch
from torch.nn import functional as F

import featmix as fm
from featmix.trainers.transformers import FeatMixCallback
from tests.trainers.hf_networks import (
    ast,
    bert,
    classes,
    forgetting,
    pictures,
    seeded,
    sentences,
    spectrograms,
    vit,
    wav2vec2,
    waves,
    weights,
)
from tests.trainers.hf_running import by_hand, trainer

TREE = {"input": fm.CutMix(), "vit.layers.0.mlp": fm.MoEx("pono", lam=0.7), "vit.layers.1": fm.Mixup()}
SMOOTHED = partial(F.cross_entropy, label_smoothing=0.1)
COMPILED = {"torch_compile": True, "torch_compile_backend": "eager"}
SAME = {"atol": 5e-6, "rtol": 1e-5}  # of weights that have moved by 0.7


@pytest.fixture(autouse=True)
def _nothing_kept():
    yield from forgetting()


def checkpointing(reentrant):
    return {"activation_checkpointing": True, "activation_checkpointing_kwargs": {"use_reentrant": reentrant}}


@pytest.mark.parametrize(
    ("settings", "loop"),
    [
        pytest.param({"eval_strategy": "steps", "eval_steps": 1}, {}, id="evaluated between"),
        pytest.param({"gradient_accumulation_steps": 2}, {"parts": 2}, id="accumulated, the last part smaller"),
        pytest.param({"gradient_accumulation_steps": 3, "num_train_epochs": 2}, {"parts": 3, "epochs": 2}, id="uneven parts"),
        pytest.param(checkpointing(True), {}, id="checkpointing, reentrant"),
        pytest.param(
            checkpointing(False) | {"gradient_accumulation_steps": 2}, {"parts": 2}, id="checkpointing, not reentrant"
        ),
        pytest.param(checkpointing(False) | COMPILED, {}, id="compiled, checkpointing"),
        pytest.param({"bf16": True}, {"autocast": True}, id="bfloat16"),
        pytest.param({"label_smoothing_factor": 0.1}, {"criterion": SMOOTHED}, id="smoothed"),
    ],
)
def test_it_trains_as_a_loop_by_hand(settings, loop, tmp_path):
    model, rows = vit(), pictures()
    mixing = FeatMixCallback(TREE)
    running = trainer(model, rows, tmp_path, mixing, **settings)
    running.train()
    if "torch_compile" in settings:
        torch.compiler.reset()
    expected = by_hand(vit(), rows, TREE, **loop)
    torch.testing.assert_close(weights(model), weights(expected), **SAME)
    if "eval_steps" in settings:
        last = [log["eval_loss"] for log in running.state.log_history if "eval_loss" in log][-1]
        scores = expected.eval()(torch.stack([row["pixel_values"] for row in rows])).logits.detach()
        assert last == pytest.approx(float(F.cross_entropy(scores, classes(10))), abs=1e-5)


@pytest.mark.parametrize("accumulated", [1, 2])
@pytest.mark.parametrize(
    ("kind", "labels", "own"),
    [
        ("regression", torch.randn(10, generator=seeded(3)), F.mse_loss),
        ("multi_label_classification", torch.rand(10, 3, generator=seeded(3)).round(), F.binary_cross_entropy_with_logits),
        (None, torch.rand(10, 3, generator=seeded(3)).softmax(1), F.cross_entropy),
    ],
)
def test_labels_of_other_kinds(kind, labels, own, accumulated, tmp_path):
    settings = {"num_labels": 1} if kind == "regression" else {}
    model, rows = vit(**settings), pictures(labels=labels)
    mixing = FeatMixCallback(TREE, criterion=own if kind is None else None)
    trainer(model, rows, tmp_path, mixing, lr=0.02, gradient_accumulation_steps=accumulated).train()
    criterion = own if kind != "regression" else lambda o, y, reduction: own(o[:, 0], y, reduction=reduction)
    expected = by_hand(vit(**settings), rows, TREE, criterion=criterion, parts=accumulated, lr=0.02)
    torch.testing.assert_close(weights(model), weights(expected), **SAME)
    assert model.config.problem_type == kind  # which tells pipelines to take a sigmoid


@pytest.mark.parametrize(
    ("made", "rows", "tree"),
    [
        (ast, spectrograms(), {"input": fm.Mixup(), "audio_spectrogram_transformer.layers.0": fm.MoEx("in")}),
        (wav2vec2, waves(), {"wav2vec2.feature_extractor.conv_layers.0": fm.MixStyle("in", layout="bcn"), "input": fm.Mixup()}),
        (bert, sentences(), {"bert.encoder.layer.0": fm.MoEx("in", layout="bnc", num_prefix_tokens=1)}),
    ],
    ids=["AST", "Wav2Vec2", "BERT"],
)
def test_sound_and_text(made, rows, tree, tmp_path):
    model, masks, found = made(), [], []
    mixing = FeatMixCallback(tree)
    trainer(model, rows, tmp_path, mixing, gradient_accumulation_steps=2).train()

    def given(inputs):
        masks.append(inputs.get("attention_mask"))
        return {} if masks[-1] is None else {"mask": masks[-1].bool()}

    expected = by_hand(made(), rows, tree, parts=2, given=given, found=found)
    torch.testing.assert_close(weights(model), weights(expected), **SAME)
    if made is bert:
        assert torch.equal(found[0].params["bert.encoder.layer.0"].mask, masks[0].bool()[:, 1:])
        assert not masks[0].all()
        other = by_hand(made(), rows, tree, parts=2)  # padding counted as content
        assert (weights(other) - weights(model)).abs().max() > 1e-3


def test_a_function_says_what_else_draws_are_given(tmp_path):
    tree, seen = {"bert.encoder.layer.0": fm.Mixup()}, []

    def given(arguments):
        seen.append(sorted(arguments))
        return {}

    model = bert()
    trainer(model, sentences(), tmp_path, FeatMixCallback(tree, auto=given)).train()
    torch.testing.assert_close(weights(model), weights(by_hand(bert(), sentences(), tree)), **SAME)
    assert {"attention_mask", "input_ids"} <= set(seen[0]) <= {"attention_mask", "input_ids", "num_items_in_batch"}
    assert len(seen) == 4  # once a forward, and not for the dry run


def test_a_mask_of_another_resolution_is_refused_and_a_function_gives_the_right_one(tmp_path):
    site = "wav2vec2.encoder.layers.0"
    real = torch.arange(64) < torch.tensor([[64], [40], [20]]).repeat(4, 1)[:10]
    rows, model, tree = waves(), wav2vec2(), {site: fm.MoEx("in")}
    for row, mask in zip(rows, real, strict=True):
        row["attention_mask"] = mask.long()
    with pytest.raises(fm.FeatmixError, match="mask"):
        trainer(wav2vec2(), rows, tmp_path, FeatMixCallback(tree)).train()

    def frames(arguments):
        return {"mask": model._get_feature_vector_attention_mask(16, arguments["attention_mask"])}

    trainer(model, rows, tmp_path, FeatMixCallback(tree, auto=frames)).train()
    expected = by_hand(wav2vec2(), rows, tree, given=frames)
    torch.testing.assert_close(weights(model), weights(expected), **SAME)


def test_criteria_of_ones_own(tmp_path):
    model, rows = vit(), pictures()
    trainer(model, rows, tmp_path, FeatMixCallback(TREE, criterion=torch.nn.CrossEntropyLoss(reduction="sum"))).train()
    scaled = by_hand(vit(), rows, TREE, criterion=lambda o, y, reduction: len(y) * F.cross_entropy(o, y, reduction=reduction))
    torch.testing.assert_close(weights(model), weights(scaled), atol=1e-3, rtol=0)
    single = {"input": fm.Mixup()}  # of one strength for the batch: a criterion may give one number
    model = vit()
    mixing = FeatMixCallback(single, criterion=lambda output, target: F.cross_entropy(output, target))
    trainer(model, rows, tmp_path, mixing, gradient_accumulation_steps=2).train()
    torch.testing.assert_close(weights(model), weights(by_hand(vit(), rows, single, parts=2)), **SAME)


def test_schedules_follow_the_steps(tmp_path):
    seen = []

    class Spying(FeatMixCallback):
        def on_step_begin(self, *args, **kwargs):
            super().on_step_begin(*args, **kwargs)
            seen.append(self.mixer.progress)

    mixing = Spying({"input": fm.Mixup(p=fm.schedule.linear(0, 1))})
    trainer(vit(), pictures(), tmp_path, mixing, gradient_accumulation_steps=2).train()
    assert seen == [0.0, 0.5]
