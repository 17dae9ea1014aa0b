"""Runs of the Trainer: killed and resumed, over and taken off, and what is refused of them."""

import copy
import re
import shutil
from functools import partial

import pytest
import torch
from torch.nn import functional as F

import featmix as fm
from featmix.errors import FeatmixWarning
from featmix.trainers.transformers import FeatMixCallback
from tests.trainers.hf_networks import bert, forgetting, pictures, sentences, transformers, vit, weights
from tests.trainers.hf_running import trainer

TREE = {"input": fm.CutMix(), "vit.layers.0": fm.MoEx("pono", lam=0.7)}
SHUFFLED = {"train_sampling_strategy": "random", "num_train_epochs": 2, "gradient_accumulation_steps": 2}
SAVED = SHUFFLED | {"save_strategy": "steps", "save_steps": 3}


@pytest.fixture(autouse=True)
def _nothing_kept():
    yield from forgetting()


class Told(FeatMixCallback):
    """Notes the decision of each part, and is killed at the end of a step."""

    def __init__(self, *args, killed_at=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.found, self.killed_at = [], killed_at

    def _check_step(self):
        mix, progress = self.mixer.mix, torch.tensor(self.mixer.progress)
        self.found.append((mix.params["input"].partner, mix.params["vit.layers.0"].partner, mix.mixture.weight, progress))
        super()._check_step()

    def on_substep_end(self, args, state, control, **kwargs):
        super().on_substep_end(args, state, control, **kwargs)
        if state.global_step == self.killed_at:
            raise KeyboardInterrupt


def test_a_killed_run_goes_on_bit_for_bit(tmp_path):
    whole = vit()
    told = Told(TREE)
    trainer(whole, pictures(), tmp_path / "whole", told, **SHUFFLED).train()
    dying = Told(TREE, killed_at=3)
    with pytest.raises(KeyboardInterrupt):
        trainer(vit(), pictures(), tmp_path / "killed", dying, **SAVED).train()
    assert dying.mixer is not None
    shutil.move(tmp_path / "killed" / "checkpoint-3", tmp_path / "kept")  # a folder that no step is the name of

    # The Trainer of transformers 5 does not find the layers of a ViT in its own checkpoints, and from_pretrained does.
    model, resumed = transformers.ViTForImageClassification.from_pretrained(tmp_path / "kept"), Told(TREE)
    running = trainer(model, pictures(), tmp_path / "other", resumed, **SHUFFLED)
    running.train(resume_from_checkpoint=str(tmp_path / "kept"))
    assert torch.equal(weights(model), weights(whole))
    assert len(told.found) == 8  # four steps of two parts, the last of which has been done anew
    for before, again in zip(told.found[6:], resumed.found, strict=True):
        assert all(map(torch.equal, before, again))

    (tmp_path / "kept" / "featmix_state_0.pt").unlink()
    with pytest.warns(FeatmixWarning, match="Decisions begin anew"):
        trainer(vit(), pictures(), tmp_path / "other", FeatMixCallback(TREE), **SHUFFLED).train(str(tmp_path / "kept"))


def test_the_model_is_as_before_and_a_checkpoint_needs_no_featmix(tmp_path):
    model = vit()
    mixing = FeatMixCallback(TREE)
    running = trainer(model, pictures(), tmp_path, mixing, save_strategy="epoch")
    running.train()
    assert mixing.mixer is None
    assert {type(module) for module in model.modules()} == {type(module) for module in vit().modules()}
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    loaded = transformers.ViTForImageClassification.from_pretrained(tmp_path / "checkpoint-4")
    assert torch.equal(weights(loaded), weights(model))
    assert running.evaluate()["eval_loss"] > 0  # plain, of a callback that is attached to nothing
    first, again = weights(model), running.train()  # from where it is, with a decision a forward again
    assert again.global_step == 4
    assert not torch.equal(first, weights(model))


def test_a_run_after_one_that_was_killed_begins_anew(tmp_path):
    mixing, model, other = Told(TREE, killed_at=0), vit(), vit()
    running = trainer(model, pictures(), tmp_path, mixing, gradient_accumulation_steps=2)
    with pytest.raises(KeyboardInterrupt):
        running.train()
    mixing.killed_at = None
    running.train()
    trainer(other, pictures(), tmp_path, FeatMixCallback(TREE), gradient_accumulation_steps=2).train()
    assert torch.equal(weights(model), weights(other))


def own_loss(outputs, labels, num_items_in_batch=None):
    return F.cross_entropy(outputs.logits, labels)


class GivesLabels(transformers.Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return model(**inputs).loss


@pytest.mark.parametrize(
    ("made", "loss", "settings", "words"),
    [
        pytest.param(FeatMixCallback, None, {}, "compute_loss_func: expected the callback's loss, got none", id="no loss"),
        pytest.param(FeatMixCallback, own_loss, {}, "expected the callback's loss, got another loss", id="other loss"),
        pytest.param(
            FeatMixCallback,
            FeatMixCallback(TREE).loss,
            {},
            "expected the callback among those of the Trainer",
            id="the loss of another object",
        ),
        pytest.param(
            partial(FeatMixCallback, criterion=F.cross_entropy),
            True,
            {"label_smoothing_factor": 0.1},
            "label_smoothing_factor: expected 0 beside a criterion",
            id="smoothing",
        ),
        pytest.param(
            partial(FeatMixCallback, criterion=partial(F.cross_entropy, weight=torch.ones(3))),
            True,
            {"gradient_accumulation_steps": 2},
            "criterion: expected a mean over labels",
            id="class weights of parts",
        ),
    ],
)
def test_what_would_train_on_labels_that_are_not_mixed_is_refused(made, loss, settings, words, tmp_path):
    model = vit()
    with pytest.raises(fm.FeatmixError, match=re.escape(words)):
        trainer(model, pictures(), tmp_path, made(TREE), loss=loss, **settings).train()
    assert torch.equal(weights(model), weights(vit()))  # before any step


def test_a_trainer_that_gives_the_model_its_labels_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(transformers, "Trainer", GivesLabels)
    with pytest.raises(fm.FeatmixError, match="expected a model that is not given labels"):
        trainer(vit(), pictures(), tmp_path, FeatMixCallback(TREE)).train()
    model = vit()
    trainer(model, pictures(), tmp_path, FeatMixCallback({"vit.layers.0": fm.MixStyle("in")}), loss=None).train()
    assert not torch.equal(weights(model), weights(vit()))


class TrainsACopy(transformers.Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return copy.deepcopy(model)(**inputs).loss + 0 * next(model.parameters()).sum()


def test_a_step_that_passed_the_mixer_by_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(transformers, "Trainer", TrainsACopy)
    with pytest.raises(fm.FeatmixError, match="got a step without one"):
        trainer(vit(), pictures(), tmp_path, FeatMixCallback(TREE)).train()


def test_class_weights_of_whole_batches(tmp_path):
    rare = partial(F.cross_entropy, weight=torch.tensor([1.0, 2.0, 4.0]))
    model, plain = vit(), vit()
    rows = pictures(3)
    trainer(model, rows, tmp_path, FeatMixCallback(TREE, criterion=rare)).train()
    mixer = fm.attach(plain, TREE, example={"pixel_values": torch.zeros(3, 1, 8, 8)}, seed=7)
    x, y = (torch.stack([row[name] for row in rows]) for name in ("pixel_values", "labels"))
    mix = mixer.draw(x, target=y)
    mix.loss(rare, plain(x).logits, y).backward()
    with torch.no_grad():
        for weight in plain.parameters():
            weight -= 0.5 * weight.grad
    torch.testing.assert_close(weights(model), weights(plain))


def test_other_refusals(tmp_path):
    def train(model, rows, mixing, **settings):
        trainer(model, rows, tmp_path, mixing, **settings).train()

    with pytest.raises(fm.FeatmixError, match="strategies that remember nothing"):
        train(vit(), pictures(), FeatMixCallback({"vit.layers.0": fm.MoEx(memory=8)}))
    with pytest.raises(fm.FeatmixError, match="label_smoothing_factor: expected 0 for regression"):
        train(vit(num_labels=1), pictures(labels=torch.rand(10)), FeatMixCallback(TREE), label_smoothing_factor=0.1)
    tokens = transformers.BertForTokenClassification(bert().config)
    with pytest.raises(fm.FeatmixError, match="got None for BertForTokenClassification"):
        train(tokens, sentences(), FeatMixCallback({"bert.encoder.layer.0": fm.Mixup()}))
    nameless = [{name.replace("labels", "target"): value for name, value in row.items()} for row in pictures()]
    with pytest.raises(fm.FeatmixError, match='what is called "labels"'):
        train(vit(), nameless, FeatMixCallback(TREE), label_names=["target"])
    with pytest.raises(fm.FeatmixError, match="expected scores called logits, got the entries loss"):
        FeatMixCallback(TREE).loss({"loss": torch.ones(())}, torch.ones(1))
    with pytest.raises(fm.FeatmixError, match=r"Did you mean 'vit.layers.0'"):
        train(vit(), pictures(), FeatMixCallback({"vit.layer.0": fm.MoEx()}))
