"""torchvision's transforms v2: its MixUp and CutMix as strategies, and strategies in its pipelines.

What torchvision's own two do, read and seen in 0.28.0, and what the adapters make of it:

- They mix in eval mode, and always: there is no ``p``. A strategy has one, and is the identity in eval mode.
- Each sample takes from the one before it, so that batches have to be shuffled. Here partners are drawn.
- λ is the sample's own share, as here, and that of CutMix is of the box as it was clipped: nothing to mend.
- λ comes from torch's own Beta: with ``alpha=0.001`` a quarter of its mass lies near one half, where there should be nothing.
- λ and box are Python numbers: a compiled step is compiled anew for each. Here they are tensors, and values to replay.
- ``MixUp`` refuses integer images by an error of torch's about casts; here the error says what to do.
- ``MixUp`` computes in half precision where images are; here float32 inside.
- Labels are class indices or rows of class probabilities; regression targets are refused. Here any target is mixed: see
  :meth:`featmix.Mixture.dense`.
- Masks and boxes are refused. In :func:`to_torchvision` masks go along where the strategy says which position is from where.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from featmix.errors import FeatmixError
from featmix.mixer.tree import INPUT, At, OneOf
from featmix.sampling.words import Partner
from featmix.schedule import Schedule
from featmix.strategies.base import Strategy
from featmix.strategies.cutmix import CutMix
from featmix.strategies.mixup import Mixup
from featmix.support.extras import imported

INSTALL = "torchvision>=0.21"


def from_torchvision(transform: Any, *, p: float | Schedule = 1.0, partner: Partner = "derangement") -> Strategy:
    """The ``MixUp`` or ``CutMix`` of torchvision as the strategy of that name, with its ``alpha`` and ``num_classes``.

    Both draw one λ for the batch from ``Beta(alpha, alpha)``; a box has the same sides, the same centres and the same clipping.
    So what is drawn follows the same law, and for the same λ and box pixels and labels are the same. Only partners are other
    ones: torchvision's are ``torch.arange(B).roll(1)``, which ``make_params(..., partner=...)`` takes.

    Args:
        transform: ``torchvision.transforms.v2.MixUp`` or ``CutMix``. Its ``labels_getter`` has no use here: a strategy is given
            its labels.
        p: Probability that a batch is mixed.
        partner: See :class:`~featmix.Strategy`.

    Raises:
        FeatmixError: If torchvision cannot be loaded, or the transform is another one.

    Example:
        >>> from torchvision.transforms import v2  # doctest: +SKIP
        >>> from_torchvision(v2.CutMix(alpha=0.5, num_classes=10)).alpha  # doctest: +SKIP
        0.5
    """
    v2 = imported("torchvision.transforms.v2", subject="from_torchvision", install=INSTALL)
    for cls, strategy in ((v2.MixUp, Mixup), (v2.CutMix, CutMix)):
        if type(transform) is cls:  # what a subclass draws nobody knows
            made: Strategy = strategy(
                alpha=transform.alpha, lam_per="batch", p=p, partner=partner, layout="bchw", num_classes=transform.num_classes
            )
            return made
    fix = "Other transforms mix nothing between samples: use them as they are."
    if type(transform) is v2.RandomChoice:
        fix = "Of a choice of them: tree_from_torchvision."
    raise FeatmixError(
        "from_torchvision", "transform", expected="torchvision.transforms.v2.MixUp or CutMix", got=repr(transform), fix=fix
    )


def tree_from_torchvision(transform: Any, *, p: float | Schedule = 1.0, partner: Partner = "derangement") -> At | OneOf:
    """What :func:`from_torchvision` makes, at the input; a ``RandomChoice`` of several as one of them each step.

    Args:
        transform: ``torchvision.transforms.v2.MixUp`` or ``CutMix``, or ``RandomChoice`` of these, as in torchvision's training
            recipe, with its probabilities.
        p: See :func:`from_torchvision`.
        partner: See :func:`from_torchvision`.

    Raises:
        FeatmixError: If torchvision cannot be loaded, or the transform is another one.

    Example:
        >>> from torchvision.transforms import v2  # doctest: +SKIP
        >>> choice = v2.RandomChoice([v2.CutMix(num_classes=10), v2.MixUp(num_classes=10)])  # doctest: +SKIP
        >>> pipeline = fm.Pipeline(mix=tree_from_torchvision(choice))  # doctest: +SKIP
    """
    v2 = imported("torchvision.transforms.v2", subject="tree_from_torchvision", install=INSTALL)
    if type(transform) is not v2.RandomChoice:
        return At(INPUT, from_torchvision(transform, p=p, partner=partner))
    members = [tree_from_torchvision(member, p=p, partner=partner) for member in transform.transforms]
    return OneOf(members, weights=[float(weight) for weight in transform.p])


def to_torchvision(
    strategy: Strategy, *, num_classes: int | None = None, labels_getter: str | Callable[[Any], Any] | None = "default"
) -> Any:
    """A strategy as a transform for torchvision's pipelines, for batches: in ``v2.Compose``, or in a loader's ``collate_fn``.

    It draws from torch's default generator, as all of torchvision does; in eval mode it is the identity, with labels in the
    same form. torchvision's containers hold their transforms in plain lists, which ``eval()`` does not reach: so it asks who
    calls it, and is the identity in a ``v2.Compose(...).eval()`` too, however deep. What has no modes, such as a function, has
    to call it in training alone.

    Samples may be nested as torchvision takes them. All images of a sample are mixed by one decision, ``tv_tensors.Mask`` goes
    along, boxes and keypoints stay where the strategy leaves labels alone and are refused elsewhere, and everything else stays.

    Args:
        strategy: Any strategy for images ``(B, C, H, W)``.
        num_classes: For class indices; by default the strategy's own.
        labels_getter: What takes the labels out of a sample. ``default`` takes the second of two items, or what it or the
            sample has under ``labels``; ``None`` says that there are none.

    Returns:
        A module; its ``decision`` is that of the last call.

    Raises:
        FeatmixError: If torchvision cannot be loaded, or the strategy is none.

    Example:
        >>> import featmix as fm
        >>> from torch.utils.data import default_collate
        >>> mix = to_torchvision(fm.CutMix(num_classes=10))  # doctest: +SKIP
        >>> collate_fn = lambda samples: mix(*default_collate(samples))  # doctest: +SKIP
    """
    if not isinstance(strategy, Strategy):
        raise FeatmixError("to_torchvision", "strategy", expected="a strategy", got=repr(strategy))
    imported("torchvision.transforms.v2", subject="to_torchvision", install=INSTALL)
    from featmix.interop.torchvision_transform import TorchvisionTransform

    return TorchvisionTransform(strategy, num_classes=num_classes, labels_getter=labels_getter)
