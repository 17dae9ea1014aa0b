"""kornia 0.9: its mixers as strategies, and strategies in its containers.

What kornia's own mixers do, seen in 0.9.0, and what an adapter makes of it:

- They mix in eval mode. A strategy is the identity there.
- λ of ``RandomMixUpV2`` is the partner's share; that of ``RandomCutMixV2`` is the area cut, hence the partner's share too,
  unless ``use_correct_lambda=True``. Here it is the sample's own share, and for idle rows 1, where kornia says 0.
- Labels are class indices of shape ``(B,)``, in triples ``(own, partner's, λ)`` of floats; soft labels are refused. Here any
  target is mixed: see :meth:`featmix.Mixture.dense`.
- With ``num_mix`` above 1 each triple names the whole of its box, though later boxes cover parts of earlier ones. Here shares
  are counted position by position.
- ``RandomMosaic`` refuses labels and ``PatchMix`` ignores them, though both paste from other samples. Here shares are areas.
- Integer images are refused. Here pasting takes any dtype.
- ``RandomMixUpV2`` computes in the dtype of the images, and is off by more than a rounding in half precision. Here it is
  float32 inside.
- ``RandomCutMixV2`` fails on an empty batch. Here it comes back as it is.
- Decisions come from torch's global generator alone. Here they come from the generator given, and are values to replay.
- A container takes one mixer, and refuses class labels beside it: see :func:`to_kornia`.
"""

from __future__ import annotations

from typing import Any

from featmix.errors import FeatmixError
from featmix.interop.kornia_mixers import KorniaCutMix, KorniaMixup, KorniaPatchMix
from featmix.interop.kornia_tiles import KorniaCutMixes, KorniaMosaic
from featmix.sampling.words import Partner
from featmix.strategies.base import Strategy
from featmix.support.extras import imported

INSTALL = "kornia>=0.9"
_REASONS = {
    "RandomJigsaw": "it moves parts of one image about, and mixes nothing between samples: use it as it is",
    "RandomTransplantation": "it pastes objects by their segmentation masks, and a decision of featmix's knows no masks",
    "RandomTransplantation3D": "it pastes objects by their segmentation masks, and a decision of featmix's knows no masks",
}


def from_kornia(mixer: Any, *, partner: Partner = "permutation", num_classes: int | None = None) -> Strategy:
    """A mixer of kornia's as a strategy.

    kornia draws strengths and boxes, as it was told to; featmix draws partners and gates, applies them, and says what the
    labels become. Pixels are the same as kornia's for the same decision. kornia's gate is a setting of the strategy: ``p`` for
    the batch, or for each sample with ``RandomMosaic``.

    Args:
        mixer: ``RandomMixUpV2``, ``RandomCutMixV2``, ``PatchMix``, or ``RandomMosaic`` that keeps the size of the images. It is
            copied, and draws on the CPU.
        partner: ``permutation`` as in kornia, where a sample may be its own partner, ``derangement`` or ``crossdomain``. Mixers
            with more than one partner a sample know ``permutation`` only.
        num_classes: For class indices in ``strategy(x, target)``.

    Raises:
        FeatmixError: If kornia is missing, the mixer is another one (the message says why), or a setting does not fit.

    Example:
        >>> import torch
        >>> from kornia.augmentation import RandomCutMixV2
        >>> cutmix = from_kornia(RandomCutMixV2(p=1.0, use_correct_lambda=True), partner="derangement")
        >>> x, y = torch.randn(4, 3, 8, 8), torch.eye(4)
        >>> mixed, soft = cutmix(x, y)
        >>> soft.sum(1)
        tensor([1., 1., 1., 1.])
        >>> params = cutmix.make_params(x.shape, generator=torch.Generator().manual_seed(0))
        >>> bool((cutmix.transform(x, params) == cutmix.transform(x, params)).all())
        True
    """
    kornia = imported("kornia.augmentation", subject="from_kornia", install=INSTALL)
    made: Any = {
        kornia.RandomMixUpV2: KorniaMixup,
        kornia.RandomCutMixV2: KorniaCutMix,
        kornia.PatchMix: KorniaPatchMix,
        kornia.RandomMosaic: KorniaMosaic,
    }.get(type(mixer))  # what a subclass draws or pastes nobody knows
    if made is KorniaCutMix and mixer._param_generator.num_mix > 1:
        made = KorniaCutMixes
    if made is not None:
        strategy: Strategy = made(mixer, partner=partner, num_classes=num_classes)
        return strategy
    raise FeatmixError(
        "from_kornia",
        "mixer",
        expected="RandomMixUpV2, RandomCutMixV2, PatchMix or RandomMosaic of kornia.augmentation",
        got=f"{type(mixer).__name__}, and {_REASONS[type(mixer).__name__]}"
        if type(mixer).__name__ in _REASONS
        else repr(mixer),
    )


def to_kornia(strategy: Strategy, *, num_classes: int | None = None) -> Any:
    """A strategy as a module for kornia's containers.

    In training mode it draws from torch's default generator, as all of kornia does, and mixes; in eval mode it is the identity.
    Its parameters hold the decision, so that a container replays it (``aug(x, params=aug._params)``). Masks go the way of the
    images where the strategy says which position comes from where. Boxes and keypoints stay where the strategy leaves labels
    alone, and are refused elsewhere.

    A container of kornia's refuses class labels beside a mixer, whoever wrote it, and takes one mixer (without
    ``random_apply``). So pass images, and ask for the labels afterwards: ``module.labels(target)`` mixes by the last decision.
    Called by itself the module takes both: ``module(x, y, data_keys=["input", "class"])``. For several strategies in one step
    attach them as a tree at ``input``: labels compose there.

    Args:
        strategy: Any strategy for images ``(B, C, H, W)`` of a floating dtype.
        num_classes: For class indices; by default the strategy's own.

    Returns:
        A ``kornia.augmentation.MixAugmentationBaseV2``.

    Raises:
        FeatmixError: If kornia is missing, or the strategy is none.

    Example:
        >>> import torch
        >>> import featmix as fm
        >>> from kornia.augmentation import AugmentationSequential, RandomHorizontalFlip
        >>> mix = to_kornia(fm.CutMix(num_classes=3))
        >>> aug = AugmentationSequential(RandomHorizontalFlip(), mix, data_keys=["input"])
        >>> x, y = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 1])
        >>> aug(x).shape, mix.labels(y).shape
        (torch.Size([4, 3, 8, 8]), torch.Size([4, 3]))
        >>> bool((mix.eval()(x) == x).all())
        True
    """
    if not isinstance(strategy, Strategy):
        raise FeatmixError("to_kornia", "strategy", expected="a strategy", got=repr(strategy))
    imported("kornia.augmentation", subject="to_kornia", install=INSTALL)
    from featmix.interop.kornia_module import KorniaModule

    return KorniaModule(strategy, num_classes=num_classes)
