"""Accelerate: one line attaches to a model, prepared or not, and puts the state of every rank into its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Generator, nn

from featmix.errors import FeatmixError
from featmix.mixer.attach import attach as attach_alone
from featmix.mixer.automatic import AlsoGiven
from featmix.mixer.mixer import Mixer
from featmix.mixer.tree import Tree
from featmix.strategies.base import Strategy


def attach(
    accelerator: Any,
    model: nn.Module,
    tree: Tree | Mapping[str, Strategy],
    *,
    example: Any = None,
    seed: int | None = None,
    generator: Generator | None = None,
    input: str | int | None = None,
    auto: bool | AlsoGiven = True,
) -> Mixer:
    """Attach strategies to a model before or after ``accelerator.prepare``, and register their state with its checkpoints.

    Each training forward then has a decision of its own, also under ``accelerator.accumulate``, and
    ``mixer.loss(criterion, output, target)`` goes by it; in eval mode it is the criterion alone.

    Args:
        accelerator: The ``accelerate.Accelerator``.
        model: A model, as it is or as ``prepare`` returned it.
        tree: See :func:`featmix.attach`, as for the other arguments.
        example: A batch on the model's device, where shapes are needed.
        seed: Of the mixer's own randomness, together with the rank.
        generator: Use this generator instead, one of each rank's own.
        input: Which of the model's arguments the batch is.
        auto: Whether to draw for each training forward by itself.

    Raises:
        FeatmixError: See :func:`featmix.attach` and :func:`register`.

    Example:
        >>> import featmix as fm
        >>> import torch
        >>> from accelerate import Accelerator
        >>> from torch.nn import functional as F
        >>> accelerator, model = Accelerator(cpu=True), nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
        >>> mixer = attach(accelerator, model, {"0": fm.Mixup()}, seed=0)
        >>> x, y = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
        >>> accelerator.backward(mixer.loss(F.cross_entropy, model(x), y))
    """
    _check(accelerator, "attach")
    mixer = attach_alone(model, tree, example=example, seed=seed, generator=generator, input=input, auto=auto)
    register(accelerator, mixer)
    return mixer


def register(accelerator: Any, mixer: Mixer) -> None:
    """Put a mixer's state into what ``accelerator.save_state`` writes and ``accelerator.load_state`` reads, for every rank.

    Accelerate writes what it was given with ``register_for_checkpointing`` in the main process alone, and every process reads
    that: a mixer's state is that of all ranks, gathered. As for Accelerate's own states, all processes have to save.

    Args:
        accelerator: The ``accelerate.Accelerator``.
        mixer: What :func:`featmix.attach` returned.

    Raises:
        FeatmixError: If they are something else.
    """
    _check(accelerator, "register")
    if not isinstance(mixer, Mixer):
        raise FeatmixError("register", "mixer", expected="what featmix.attach returned", got=type(mixer).__name__)
    accelerator.register_for_checkpointing(mixer)


def _check(accelerator: Any, who: str) -> None:
    if not callable(getattr(accelerator, "register_for_checkpointing", None)):
        expected = "an accelerate.Accelerator"
        raise FeatmixError(who, "accelerator", expected=expected, got=type(accelerator).__name__)
