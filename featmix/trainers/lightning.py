"""featmix in Lightning: a callback for modules whose code stays as it is."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from torch import nn

from featmix.errors import FeatmixError
from featmix.mixer.attach import attach
from featmix.mixer.given import Wanted
from featmix.mixer.mixer import Mixer
from featmix.mixer.sites import unwrap
from featmix.mixer.tree import Tree, as_tree
from featmix.strategies.base import Strategy
from featmix.support.extras import imported
from featmix.trainers.asking import Steps
from featmix.trainers.criteria import Criteria, Named
from featmix.trainers.inside import Inside, example_of

if TYPE_CHECKING:
    from lightning.fabric.utilities.exceptions import MisconfigurationException
    from lightning.pytorch import Callback, LightningModule, Trainer
else:
    _INSTALL = {"subject": "trainers.lightning", "install": "lightning>=2.4"}
    Callback = imported("lightning.pytorch", **_INSTALL).Callback
    MisconfigurationException = imported("lightning.fabric.utilities.exceptions", **_INSTALL).MisconfigurationException

_WHO = "FeatMix"


class FeatMix(Callback):
    """Mixes in the training steps of a LightningModule: ``Trainer(callbacks=[FeatMix(tree)])``. Its code stays as it is.

    In ``training_step`` each forward of the model has a decision of its own, and the criterion, called with what such a forward
    returned, gives the loss of the mixed labels. Everywhere else, as in validation, both are what they are without it. Nothing
    that the module logs changes but that loss. After fitting, or when it fails, the module is what it was; checkpoints have the
    same keys and besides, among the states of callbacks, where the random numbers of every rank are.

    The model is the first module that a training step calls and that has all sites in it, be it the LightningModule itself or
    a part of it, compiled or not. Before its first forward it is run once more with that batch, in eval mode and without
    gradient, to learn the shapes at the sites. ``trainer.global_step / trainer.estimated_stepping_batches`` drives schedules.
    An optimizer that evaluates a step again, such as L-BFGS, gets the same decisions again. The epoch in which
    ``StochasticWeightAveraging`` measures the statistics of normalization layers is not mixed.

    Args:
        tree: ``{site: strategy}``, or a tree of :class:`~featmix.At`, :class:`~featmix.Compose` and :class:`~featmix.OneOf`. A
            site is a name from ``lit.named_modules()``, as ``"model.layer1"``, or ``"input"`` for what the model is called
            with.
        criterion: The name of the attribute that holds the loss, ``"criterion"`` for ``self.criterion``; or a function that
            ``training_step`` calls, as ``F.cross_entropy``; or several of these. Strategies that leave labels alone need none.
        model: The name of the module that is the model, where it is not as said above; sites are then named in it.
        input: See :func:`featmix.attach`.
        seed: See :func:`featmix.attach`.
        given: From a batch of the loader to what :meth:`featmix.Mixer.draw` is given beside the images, for strategies that
            look at labels or domains: ``lambda batch: {"target": batch[1]}``.

    Raises:
        FeatmixError: From ``fit``, if a site or the criterion does not exist, no such model is called, or the features of a
            step are mixed and its criterion is not called with what came of them.

    Example:
        >>> import featmix as fm
        >>> from featmix.trainers.lightning import FeatMix
        >>> callback = FeatMix({"input": fm.CutMix(), "model.layer1": fm.MoEx()}, criterion="loss_fn")
    """

    def __init__(
        self,
        tree: Tree | Mapping[str, Strategy],
        criterion: Named | Sequence[Named] = "criterion",
        *,
        model: str | None = None,
        input: str | int | None = None,
        seed: int | None = None,
        given: Callable[[Any], Mapping[str, Any]] | None = None,
    ) -> None:
        self.tree, self._criteria = as_tree(tree), Criteria(_WHO, criterion)
        self._model, self._input, self._seed, self._given = model, input, seed, given
        self._mixer: Mixer | None = None
        self._attached = False
        self._beginning: dict[str, Any] | None = None
        self._loaded: Mapping[str, Any] | None = None
        self._steps: Steps | None = None
        self._inside: Inside | None = None
        self._batch: Any = None
        self._now: float | None = None
        self._mixes_labels = any(leaf.strategy.tags.mixes_labels for leaf in self.tree.leaves())

    @property
    def mixer(self) -> Mixer:
        """The mixer, from the first training step on.

        Raises:
            FeatmixError: If there is none yet.
        """
        if self._mixer is None:
            raise FeatmixError(_WHO, expected="a training step before", got="none so far")
        return self._mixer

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the place of ``training_step``."""
        if stage == "fit":
            self._remove(pl_module)
            step = _Step(self, trainer, pl_module)
            self._steps = Steps(_WHO, str(self._criteria))
            vars(pl_module)["training_step"] = step

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that the sites and the criterion exist."""
        self._look(pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remove everything from the module."""
        self._remove(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Remove everything from the module."""
        self._remove(pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the random numbers of every rank; Lightning asks all ranks for it."""
        return {"mixer": self._loaded if self._mixer is None else self._mixer.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from there: at once, or when the model is first called.

        Raises:
            FeatmixError: If it is no such state.
        """
        if set(state_dict) != {"mixer"}:
            raise FeatmixError(f"{_WHO}.load_state_dict", "state", expected="the state of FeatMix", got=sorted(state_dict))
        if self._steps is not None:
            self._steps.forget()
        self._loaded = state_dict["mixer"]
        if self._mixer is not None and self._beginning is not None:
            self._mixer.load_state_dict(self._loaded or self._beginning)
            self._loaded = None

    def _remove(self, module: LightningModule) -> None:
        step = vars(module).get("training_step")
        if isinstance(step, _Step):
            step.put_back()
        if self._mixer is not None:
            self._mixer.remove()
        self._steps = self._inside = self._batch = None
        self._attached = False

    def _look(self, module: LightningModule) -> Inside:
        """Find the criterion and the sites, once the module has all its parts."""
        if self._inside is None:
            apart: tuple[nn.Module, ...] = ()
            if self._mixes_labels:
                self._criteria.check(module)
                apart = self._criteria.modules(module)
            self._inside = Inside(module, self.tree, self._model, apart)
        return self._inside

    def _attach(self, model: nn.Module, tree: Tree, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Attach to the model when it is first called, and continue where another run has stopped."""
        begun = self._loaded or (self._mixer and self._mixer.state_dict(gather=False))
        example = example_of(model, args, kwargs, Wanted.of(unwrap(model), self._input).arguments)
        self._mixer = attach(model, tree, seed=self._seed, input=self._input, example=example, auto=self._rest)
        self._attached, self._loaded, self._beginning = True, None, self._mixer.state_dict(gather=False)
        if begun:
            self._mixer.load_state_dict(begun)
        if self._now is not None:
            self._mixer.progress = self._now
        if self._steps is not None:
            self._steps.mixer = self._mixer

    def _rest(self, _: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the arguments of a draw besides the images; None for forwards outside a training step."""
        if self._steps is None or not self._steps.may_draw():
            return None
        return {} if self._given is None else self._given(self._batch)

    def run(self, step: _Step, trainer: Trainer, module: LightningModule, args: Any, kwargs: dict[str, Any]) -> Any:
        """Run a training step with mixed forwards and the loss of the mixed labels."""
        steps, inside = self._steps, self._look(module)
        if steps is None or getattr(trainer.fit_loop, "_skip_backward", False):
            return step.plain(*args, **kwargs)
        batch, self._now = args[0] if args else next(iter(kwargs.values()), None), _progress(trainer)
        if not self._attached:
            inside.wait(self._attach)
        elif self._now is not None:
            self.mixer.progress = self._now
        steps.begin((trainer.current_epoch, trainer.fit_loop.batch_idx, trainer.global_step, id(batch)))
        self._batch = batch  # until the next step: no other has its id
        try:
            with self._criteria.met(module, step.plain, steps.loss) if self._mixes_labels else nullcontext():
                result = step.plain(*args, **kwargs)
        finally:
            steps.end()
            inside.stop()
        if result is not None or steps.drew:
            steps.check(inside.sites, result)
        return result


class _Step:
    """Takes the place of ``training_step``. Copies of the module have the method itself."""

    def __init__(self, callback: FeatMix, trainer: Trainer, module: LightningModule) -> None:
        self._callback, self._trainer, self._module = callback, trainer, module
        self._before = vars(module).get("training_step")
        compiled = getattr(module, "_compiler_ctx", None)  # of torch.compile(lit): its forward stays compiled, and is enough
        self.plain: Callable[..., Any] = compiled["original_training_step"] if compiled else module.training_step
        functools.update_wrapper(self, self.plain)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._callback.run(self, self._trainer, self._module, args, kwargs)

    def put_back(self) -> None:
        """Restore the module."""
        if self._before is None:
            del vars(self._module)["training_step"]
        else:
            vars(self._module)["training_step"] = self._before

    def __deepcopy__(self, memo: dict[int, Any]) -> Callable[..., Any]:
        return copy.deepcopy(self.plain, memo)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self._module, "training_step")


def _progress(trainer: Trainer) -> float | None:
    """Return how far training is, from 0 to 1; None if its length is unknown."""
    try:
        step, total = float(trainer.global_step), float(trainer.estimated_stepping_batches)
    except MisconfigurationException:  # gradients are accumulated over more batches in some epochs than in others
        step, total = float(trainer.current_epoch), float(trainer.max_epochs or -1)
    return min(step / total, 1.0) if 0 < total < math.inf else None
