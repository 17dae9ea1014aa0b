"""Attaching strategies to a model whose code stays as it is: decisions are drawn outside it, hooks apply them inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Generator, nn

from featmix.errors import FeatmixError
from featmix.mixer.automatic import AlsoGiven
from featmix.mixer.mixer import Mixer
from featmix.mixer.tree import Tree, as_tree
from featmix.strategies.base import Strategy


def attach(
    model: nn.Module,
    tree: Tree | Mapping[str, Strategy],
    *,
    example: Any = None,
    seed: int | None = None,
    generator: Generator | None = None,
    input: str | int | None = None,
    auto: bool | AlsoGiven = False,
) -> Mixer:
    """Attach strategies to a model. Its code stays as it is.

    Args:
        model: Any module, also compiled, data-parallel, sharded or with checkpointed parts.
        tree: ``{site: strategy}``, or a tree of :class:`At`, :class:`Compose` and :class:`OneOf`. A site is a name from
            ``model.named_modules()``, or ``input``.
        example: A batch, for one dry run that learns the shape of each site; needed for spatial strategies in hidden layers.
        seed: Seed of the mixer's random numbers, together with the rank; drawn from torch's default generator if not given.
        generator: Use this generator instead.
        input: Which of the model's arguments is the batch, by name or position, or by its key in a dictionary; needed if
            several have the same shape, or if ``draw`` gets a container without a usual name.
        auto: Draw at each training forward with gradient, without a call of ``draw``. ``mixer.loss(criterion, output, target)``
            then uses the decision of the forward from which the output came. A function instead of True gets the model's
            arguments by name and returns further arguments of ``draw``, such as ``{"mask": ..., "domain": ...}``.

    Raises:
        FeatmixError: If a site does not exist (the message names the nearest), or something is attached already.

    Example:
        >>> import featmix as fm
        >>> import torch
        >>> from torch.nn import functional as F
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))
        >>> images, labels = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 3])
        >>> mixer = fm.attach(model, {"input": fm.CutMix(p=0.5), "0": fm.MoEx("pono")}, example=images)
        >>> mix = mixer.draw(images, target=labels)
        >>> loss = mix.loss(F.cross_entropy, model(images), labels)
        >>> mixer.remove()
    """
    if not isinstance(model, nn.Module):
        first = "The model comes first: attach(model, {'layer1': strategy})."
        fix = f"Make it first: {model.__name__}(...)." if isinstance(model, type) else first
        raise FeatmixError("attach", "model", expected="a torch.nn.Module", got=type(model).__name__, fix=fix)
    mixer = Mixer(model, as_tree(tree), generator=generator, seed=seed, input=input, auto=auto)
    if example is not None:
        try:
            mixer.learn_shapes(example)
        except BaseException:
            mixer.remove()
            raise
    return mixer
