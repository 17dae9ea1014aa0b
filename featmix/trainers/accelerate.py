"""Accelerate: one line attaches to a model, prepared or not, and puts the state of every rank into its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.distributed as dist
from torch import Generator, nn

from featmix.errors import FeatmixError
from featmix.mixer.attach import attach as attach_alone
from featmix.mixer.automatic import AlsoGiven
from featmix.mixer.mixer import Mixer
from featmix.mixer.tree import Tree
from featmix.seeding import rank
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
    that: so this hands it what all ranks have, gathered. As for Accelerate's own states, all processes have to save. With
    more ranks than there were, those that are new go on in streams of their own beside the first rank's.

    Args:
        accelerator: The ``accelerate.Accelerator``.
        mixer: What :func:`featmix.attach` returned.

    Raises:
        FeatmixError: If they are something else.
    """
    _check(accelerator, "register")
    if not isinstance(mixer, Mixer):
        raise FeatmixError("register", "mixer", expected="what featmix.attach returned", got=type(mixer).__name__)
    accelerator.register_for_checkpointing(_OfAllRanks(mixer))


class _OfAllRanks:
    """What Accelerate saves and loads."""

    def __init__(self, mixer: Mixer) -> None:
        self.mixer = mixer

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all ranks, in their order; each has to ask."""
        own = self.mixer.state_dict()
        if not (dist.is_available() and dist.is_initialized()):
            return {"ranks": [own]}
        states: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(states, own)
        return {"ranks": states}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from this rank's own state.

        Raises:
            FeatmixError: If it is none that :meth:`state_dict` returned.
        """
        states = state.get("ranks") if isinstance(state, Mapping) else None
        if not isinstance(states, list) or not states:
            fix = "Register in the order in which it was registered when that checkpoint was saved."
            got = type(state).__name__ if states is None else "none of them"
            raise FeatmixError("accelerator.load_state", expected="states of a mixer, of all ranks", got=got, fix=fix)
        self.mixer.load_state_dict(states[rank()] if rank() < len(states) else states[0])


def _check(accelerator: Any, who: str) -> None:
    if not callable(getattr(accelerator, "register_for_checkpointing", None)):
        expected = "an accelerate.Accelerator"
        raise FeatmixError(who, "accelerator", expected=expected, got=type(accelerator).__name__)
