"""torch's own normalization layers as normalizers, so that the laws compare them with featmix's."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from featmix.errors import FeatmixError
from featmix.layouts import layout as layout_named
from featmix.normalizers.base import Normalizer
from featmix.normalizers.kinds import normalizer
from featmix.normalizers.moments import Moments
from featmix.testing.adapters.layer_trial import Tried, fixed_channels, found_by_trial
from featmix.testing.adapters.normalizers import ForeignNormalizer, from_normalizer
from featmix.testing.source import remember

TORCH_NORMS: tuple[type[nn.Module], ...] = (
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.GroupNorm,
    nn.LayerNorm,
)
_INSTANCE_LAYOUTS = {nn.InstanceNorm1d: "bct", nn.InstanceNorm2d: "bchw", nn.InstanceNorm3d: "bcdhw"}
_LAYER_LAYOUTS = {1: "bnc", 2: "bct", 3: "bchw", 4: "bcdhw"}


def from_torch_norm(layer: nn.Module, *, layout: str | None = None, min_group: int = 1) -> ForeignNormalizer:
    """A normalization layer of torch as a normalizer: the layer normalizes, and featmix says what the moments are.

    Moments are those of featmix's own normalizer of the same kind, with the layer's eps and the biased variance that torch's
    layers use, so that the laws hold the layer against it. A layer for one shape (``LayerNorm``) is tried on features of
    any size: its ``normalized_shape`` follows them.

    Args:
        layer: ``InstanceNorm1d``, ``InstanceNorm2d``, ``InstanceNorm3d``, ``GroupNorm`` or ``LayerNorm``, without affine
            parameters or with untrained ones (weight 1, bias 0), and without running statistics.
        layout: Names the axes; by default the one that the layer is named for, ``bchw`` for ``GroupNorm`` and, for
            ``LayerNorm``, that of its number of normalized axes. ``LayerNorm`` over the channels alone needs them last.
            A layer derived from one of these with a ``forward`` of its own, such as timm's ``LayerNorm2d``, is tried to see
            in which layout it does what, and keeps its number of channels.
        min_group: Fewest elements of a group that it is tried on. ``InstanceNorm`` refuses groups of one.

    Raises:
        FeatmixError: If it is another layer, has trained affine parameters, does not fit the layout, or has a ``forward``
            of its own that does what no normalizer of featmix's does.

    Example:
        >>> norm = from_torch_norm(nn.LayerNorm(4))
        >>> norm.layout, norm.like.name
        ('bnc', 'pono')
        >>> import torch
        >>> xh, m = norm.normalize(torch.randn(2, 5, 4))
        >>> m.mean.shape
        torch.Size([2, 5, 1])
    """
    if not isinstance(layer, TORCH_NORMS):
        known = ", ".join(cls.__name__ for cls in TORCH_NORMS)
        raise FeatmixError("from_torch_norm", "layer", expected=f"one of {known}", got=repr(layer))
    name = type(layer).__name__
    weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
    if (weight is not None and not bool((weight == 1).all())) or (bias is not None and not bool((bias == 0).all())):
        raise FeatmixError(
            name, "weight", expected="no affine parameters, or weight 1 and bias 0", got="trained ones", fix="affine=False."
        )
    if getattr(layer, "track_running_stats", False):
        raise FeatmixError(name, "track_running_stats", expected="False", got="True", fix="Moments then are not the sample's.")
    said = {"layout": layout, "min_group": None if min_group == 1 else min_group}
    said = {setting: value for setting, value in said.items() if value is not None}
    if type(layer).forward not in {cls.forward for cls in TORCH_NORMS}:
        like = found_by_trial(layer, layout)
        tried = Tried(layer, like)
        made = from_normalizer(tried, like=like, min_group=min_group, channels=fixed_channels(layer), name=name)
        remember(made, from_torch_norm, layer, **said)
        return made
    plain = copy.deepcopy(layer)
    for parameter in ("weight", "bias"):
        if getattr(plain, parameter, None) is not None:
            setattr(plain, parameter, None)
    kind, usual = _kind(plain, layout)
    like = normalizer(kind, layout=layout or usual, eps=float(getattr(plain, "eps", 1e-5)), unbiased=False)
    made = from_normalizer(_Layer(plain, like), like=like, min_group=min_group, name=name)
    remember(made, from_torch_norm, layer, **said)
    return made


class _Layer:
    """The layer, with moments of featmix's."""

    def __init__(self, layer: nn.Module, like: Normalizer) -> None:
        self.layer, self.like = layer, like

    def moments(self, x: Tensor) -> Moments:
        return self.like.moments(x)

    def normalize(self, x: Tensor) -> tuple[Tensor, Moments]:
        layer = copy.copy(self.layer)
        if isinstance(layer, nn.LayerNorm):
            layer.normalized_shape = tuple(x.shape[-len(layer.normalized_shape) :])
        elif not isinstance(layer, nn.GroupNorm):
            vars(layer)["num_features"] = x.shape[1]  # it warns of another number, and does not use it
        xh = layer(x)
        if not isinstance(xh, Tensor):
            raise TypeError(f"{type(layer).__name__} gave {type(xh).__name__}")
        return xh, self.moments(x)

    def denormalize(self, xh: Tensor, m: Moments) -> Tensor:
        return self.like.denormalize(xh, m)


def _kind(layer: nn.Module, layout: str | None) -> tuple[str, str]:
    """The name of featmix's normalizer of this kind, and the layout in which the layer is usually used."""
    name = type(layer).__name__
    if isinstance(layer, nn.LayerNorm):
        axes = len(layer.normalized_shape)
        chosen = layout or _LAYER_LAYOUTS.get(axes, "")
        shape = layout_named(chosen)
        if axes == shape.ndim - 1:
            return "ln", chosen
        if axes == 1 and shape.channel == shape.ndim - 1:
            return "pono", chosen
        raise FeatmixError(
            name, "layout", expected="all axes of a sample normalized, or the channels alone and last", got=repr(chosen)
        )
    if isinstance(layer, nn.GroupNorm):
        chosen = layout or "bchw"
        kind = f"gn{layer.num_groups}"
    else:
        chosen = layout or next(usual for cls, usual in _INSTANCE_LAYOUTS.items() if isinstance(layer, cls))
        kind = "in"
    if layout_named(chosen).channel != 1:
        raise FeatmixError(name, "layout", expected="channels right after the batch: bct, bchw, bcdhw", got=repr(chosen))
    return kind, chosen
