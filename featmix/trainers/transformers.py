"""The Hugging Face ``Trainer``: a callback that attaches to its model, and the loss that belongs to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from featmix.errors import FeatmixError
from featmix.mixer.attach import attach
from featmix.mixer.automatic import AlsoGiven
from featmix.mixer.mixer import Mixer
from featmix.mixer.tree import INPUT, Tree, as_tree
from featmix.strategies.base import Strategy
from featmix.support.extras import imported
from featmix.support.warning import warn
from featmix.trainers.state_files import load_state, save_state
from featmix.trainers.transformers_loss import (
    WHO,
    Criterion,
    check_counts,
    check_smoothing,
    logits_of,
    over_parts,
    own_criterion,
)
from featmix.trainers.transformers_run import Run, current, folder

_TrainerCallback: Any = imported("transformers", subject=WHO, install="featmix[transformers]").TrainerCallback
_BOTH = "Make mixing = FeatMixCallback(tree), and pass Trainer(..., callbacks=[mixing], compute_loss_func=mixing.loss)."


class FeatMixCallback(_TrainerCallback):  # type: ignore[misc]
    """Mixes in each training forward of a ``Trainer``: pass it as a callback, and its ``loss`` as ``compute_loss_func``.

    It attaches to the Trainer's model when training begins, whatever that is wrapped in by then, and takes everything off when
    it ends. Each training forward gets a decision of its own, those of accumulated batches too; evaluation is clean. Its state
    is in every checkpoint, a file for each rank, and a run that goes on from one goes on exactly.

    Args:
        tree: Strategies at sites; see :func:`featmix.attach`.
        criterion: What compares scores and labels; see :meth:`featmix.Mixture.loss`. Without one, models for classification of
            whole samples get the one that they would take themselves, smoothed by ``label_smoothing_factor``.
        seed: Of the decisions, together with the rank; ``TrainingArguments.seed`` where not given.
        input: See :func:`featmix.attach`.
        auto: A function of the model's arguments by name, which returns what a draw is given beside the batch, such as
            ``{"mask": ..., "domain": ...}``. Without one, an ``attention_mask`` ``(B, T)`` is the mask at all sites.
        example: A batch to learn the sites' shapes from; without one they are learned from the first that is trained on.

    Attributes:
        mixer: Attached while training lasts, else ``None``.

    Raises:
        FeatmixError: If the tree is none. In training: if labels are mixed and the Trainer was not given ``loss``, or the model
            is given the labels, or the loss cannot be the mean that an undivided batch has, or what :func:`featmix.attach` and
            :meth:`featmix.Mix.loss` refuse.

    Example:
        >>> import featmix as fm
        >>> mixing = FeatMixCallback({"input": fm.CutMix(), "vit.layers.0": fm.MoEx(num_prefix_tokens=1)})
        >>> given = {"callbacks": [mixing], "compute_loss_func": mixing.loss}  # Trainer(model, args, ..., **given)
    """

    def __init__(
        self,
        tree: Tree | Mapping[str, Strategy],
        *,
        criterion: Criterion | None = None,
        seed: int | None = None,
        input: str | int | None = None,
        auto: AlsoGiven | None = None,
        example: Any = None,
    ) -> None:
        self.tree = as_tree(tree)
        self.criterion, self.seed, self.input, self.auto, self.example = criterion, seed, input, auto, example
        self.mixer: Mixer | None = None
        self._model: nn.Module | None = None
        self._smoothing, self._in_parts, self._ranks = 0.0, False, False
        self._mixes_labels = any(leaf.strategy.tags.mixes_labels for leaf in self.tree.leaves())
        self._learned, self._drew = False, False
        self._forwards = 0

    def loss(self, outputs: Any, labels: Tensor | None, num_items_in_batch: Tensor | float | None = None) -> Tensor:
        """Return the loss of a batch, or the share of one part of an accumulated batch; labels are mixed in training only.

        Args:
            outputs: What the model returned, or its scores.
            labels: Labels that the Trainer kept from the model.
            num_items_in_batch: How many labels all parts have together.

        Raises:
            FeatmixError: If there are no labels, or the callback is not one of the Trainer's, or see :meth:`featmix.Mix.loss`.
        """
        logits = logits_of(outputs)
        if not isinstance(labels, Tensor):
            fix = 'The Trainer keeps back what is called "labels": call it so in the data set or in the collator.'
            raise FeatmixError(f"{WHO}.loss", "labels", expected="a tensor", got=type(labels).__name__, fix=fix)
        mixer = self.mixer
        if mixer is None and logits.requires_grad:
            got = "its loss in training, and no callback of that Trainer"
            raise FeatmixError(f"{WHO}.loss", expected="the callback among those of the Trainer", got=got, fix=_BOTH)
        labels = labels.to(logits.device)
        criterion = self._criterion_for(labels)
        if logits.ndim == 2 and logits.shape[1] == 1 and labels.ndim == 1 and labels.is_floating_point():
            logits = logits[:, 0]

        def mixed(by: Criterion) -> Tensor:
            return by(logits, labels) if mixer is None else mixer.loss(by, logits, labels)

        in_training = mixer is not None and logits.requires_grad
        if not (self._ranks or (in_training and self._in_parts)):
            found = mixed(criterion)
            return found.mean() if found.ndim else found
        if num_items_in_batch is None:
            expected = "the number of labels in all parts of the batch"
            raise FeatmixError(f"{WHO}.loss", "num_items_in_batch", expected=expected, got=None)
        return over_parts(mixed, criterion, labels, num_items_in_batch)

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Learn how the Trainer takes means, also for an evaluation before training."""
        self._told(args, kwargs.get("model"))

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Attach to the model that will be trained, and continue from the state of a checkpoint."""
        self._take_off()
        model = kwargs["model"]
        self._told(args, model)
        run = current(args, state)
        self._check_trainer(args, run)
        seed = args.seed if self.seed is None else self.seed
        example = _on(self.example, args.device)
        self.mixer = attach(model, self.tree, seed=seed, input=self.input, auto=self._given, example=example)
        self._learned = example is not None or all(leaf.site == INPUT for leaf in self.tree.leaves())
        self._forwards = 0
        if state.global_step and not (run.checkpoint and load_state(self.mixer, run.checkpoint)):
            warn(
                WHO,
                expected=f"a state of featmix for this rank in the checkpoint of step {state.global_step}",
                got=f"none in {run.checkpoint}",
                fix="Decisions begin anew. This is as it should be where training began without featmix.",
            )

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell schedules how far training is."""
        if self.mixer is not None and state.max_steps > 0:
            self.mixer.progress = min(state.global_step / state.max_steps, 1.0)

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Check that features and labels of the last part of a batch were mixed."""
        self._check_step()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Check the same for the final part, before any weight changes."""
        self._check_step()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Put this rank's state into the checkpoint."""
        if self.mixer is not None and not args.save_only_model and (into := folder(args, state)).is_dir():
            save_state(self.mixer, into)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remove everything: the model is what it was."""
        self._take_off()

    def _take_off(self) -> None:
        if self.mixer is not None:
            self.mixer.remove()
            self.mixer = None

    def _told(self, args: Any, model: Any) -> None:
        self._model, self._smoothing = model, float(args.label_smoothing_factor)
        self._ranks = args.world_size > 1 and args.average_tokens_across_devices
        self._in_parts = self._ranks or args.gradient_accumulation_steps > 1

    def _check_trainer(self, args: Any, run: Run) -> None:
        if args.n_gpu > 1:
            fix = "Launch a process for each with torchrun, or make one visible with CUDA_VISIBLE_DEVICES=0."
            raise FeatmixError(WHO, "model", expected="one device a process", got=f"{args.n_gpu} in one", fix=fix)
        if any(leaf.strategy.remembers for leaf in self.tree.leaves()):
            fix = "The Trainer keeps labels back until the loss. Make the strategy without memory=, or write the loop yourself."
            got = "one that is drawn with labels"
            raise FeatmixError(WHO, "tree", expected="strategies that remember nothing", got=got, fix=fix)
        if self._mixes_labels and run.trainer is not None and run.trainer.compute_loss_func is None:
            got = "none, so that the model's own loss would see labels that are not mixed"
            raise FeatmixError("Trainer", "compute_loss_func", expected="the callback's loss", got=got, fix=_BOTH)
        if self.criterion is not None:
            check_smoothing(self.criterion, self._smoothing)
            if self._in_parts:
                check_counts(self.criterion)

    def _criterion_for(self, labels: Tensor) -> Criterion:
        if self.criterion is not None:
            return self.criterion
        return own_criterion(self._model, labels, self._smoothing)

    def _given(self, arguments: Mapping[str, Any]) -> Any:
        """Return the arguments of a draw besides the batch; called once for each training forward."""
        self._forwards += 1
        if self._mixes_labels and arguments.get("labels") is not None:
            got = "labels, by which it would take a loss of its own that knows nothing of mixing"
            raise FeatmixError("Trainer", "compute_loss_func", expected="a model that is not given labels", got=got, fix=_BOTH)
        if not self._learned and self.mixer is not None:
            self._learned = True
            self.mixer.learn_shapes({name: value for name, value in arguments.items() if value is not None})
        if self.auto is not None:
            given = self.auto(arguments)
            self._drew = given is not None
            return given
        self._drew, mask = True, arguments.get("attention_mask")
        return {"mask": mask.bool()} if isinstance(mask, Tensor) and mask.ndim == 2 else {}

    def _check_step(self) -> None:
        """Check what was trained on since the last call, before the weights change.

        Raises:
            FeatmixError: If no forward came past the mixer, or nobody asked for what became of the labels.
        """
        if self.mixer is None:
            return
        forwards, self._forwards = self._forwards, 0
        if not forwards:
            fix = "It may be a copy of the model that is trained, or run inside something that hides its hooks."
            expected = "a training forward of the model that the Trainer handed its callbacks"
            raise FeatmixError(WHO, "model", expected=expected, got="a step without one", fix=fix)
        decision = self.mixer.mix.decision if self._drew else None
        if decision is not None and decision.label_order and not decision.record.asked:
            got = "another loss, of labels that are not mixed"
            raise FeatmixError("Trainer", "compute_loss_func", expected="the callback's loss", got=got, fix=_BOTH)


def _on(example: Any, device: Any) -> Any:
    if isinstance(example, Tensor):
        return example.to(device)
    if isinstance(example, Mapping):
        return {name: _on(value, device) for name, value in example.items()}
    return tuple(_on(value, device) for value in example) if isinstance(example, tuple) else example
