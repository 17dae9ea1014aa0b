"""The normalizers there are, by name: PONO, IN, LN, GN, GPONO and BN, and any mean over axes that are called by name."""

from __future__ import annotations

import re

from featmix.errors import FeatmixError, nearest
from featmix.layouts import layout as layout_named
from featmix.normalizers.base import Normalizer
from featmix.normalizers.over import Over


class PONO(Normalizer):
    """Positional normalization: over the channels at each position (Li et al., NeurIPS 2019, eq. 1-2)."""

    kind = "pono"
    over_channels = True


class IN(Normalizer):
    """Instance normalization: over the positions of each channel (Ulyanov et al., 2016)."""

    kind = "in"
    over_positions = True


class LN(Normalizer):
    """Layer normalization: over all channels and positions of a sample (Ba et al., 2016)."""

    kind = "ln"
    over_channels = over_positions = True


class GN(Normalizer):
    """Group normalization: over the positions and a group of channels (Wu & He, ECCV 2018)."""

    kind = "gn"
    grouped = over_channels = over_positions = True


class GPONO(Normalizer):
    """Group-wise positional normalization: over a group of channels at each position (in the published MoEx code only)."""

    kind = "gpono"
    grouped = over_channels = True


class BN(Normalizer):
    """Batch normalization: over the batch and the positions of each channel (Ioffe & Szegedy, ICML 2015).

    It normalizes and restores, but its moments belong to the batch and not to a sample, so that there is nothing for
    two samples of one batch to exchange: strategies refuse it.
    """

    kind = "bn"
    over_positions = over_batch = True


_KINDS: dict[str, type[Normalizer]] = {cls.kind: cls for cls in (PONO, IN, LN, GN, GPONO, BN)}
_OVER = f"{Over.kind}:"
_NAME = re.compile(r"(?P<kind>gpono|gn)(?P<dash>-d)?(?P<number>[0-9]{1,9})|(?P<plain>[a-z]+)")


_ALIKE = {"batch": "bn", "group": "gn8", "instance": "in", "layer": "ln", "positional": "pono"}  # by how long names begin


def _meant(name: object) -> str:
    """Return the name that is meant."""
    said = str(name).lower()
    if said in ("gn", "gpono"):
        return f"Did you mean '{said}8' for 8 groups, or '{said}-d16' for groups of 16 channels?"
    if isinstance(name, int) and not isinstance(name, bool) and name > 0:
        return f"Did you mean 'gn{name}', for {name} groups of channels?"
    found = next((ours for theirs, ours in _ALIKE.items() if said.startswith(theirs)), None)
    return f"Did you mean {found!r}?" if found else nearest(said, list_normalizers())


def list_normalizers() -> list[str]:
    """Return the names that :func:`normalizer` takes.

    ``<G>`` stands for a number of groups, ``<D>`` for a group's width, ``<axes>`` for letters of the layout.

    Example:
        >>> list_normalizers()
        ['bn', 'gn-d<D>', 'gn<G>', 'gpono-d<D>', 'gpono<G>', 'in', 'ln', 'over:<axes>', 'pono']
    """
    names = [f"{_OVER}<axes>"]
    for kind, cls in _KINDS.items():
        names += [f"{kind}<G>", f"{kind}-d<D>"] if cls.grouped else [kind]
    return sorted(names)


def normalizer(
    name: str | Normalizer,
    *,
    layout: str | None = None,
    eps: float = 1e-5,
    unbiased: bool = True,
    positive_only: bool = False,
) -> Normalizer:
    """Make a normalizer by name.

    Args:
        name: ``pono``, ``in``, ``ln``, ``bn``, ``gn8`` and ``gpono8`` (8 groups), ``gn-d8`` and ``gpono-d8`` (8 channels a
            group), in any case; or ``over:`` and letters of the layout, for one mean over these axes. ``pono`` is short for
            ``over:c``, ``in`` for over all positions and ``ln`` for both. A normalizer is passed through as it is.
        layout: Names the axes of ``x``, one letter each: ``b`` the batch, ``c`` the channels, others positions; ``None`` goes
            by their number.
        eps: Added to the variance, inside the root.
        unbiased: Variance over ``n - 1``.
        positive_only: Take the moments from positive entries only.

    Raises:
        FeatmixError: If the name is unknown (the message names the nearest), the layout has no such axis, or a setting is out
            of range.

    Example:
        >>> import torch
        >>> norm = normalizer("gn2", layout="bnc")
        >>> x = torch.randn(3, 7, 4)
        >>> xh, m = norm.normalize(x)
        >>> torch.allclose(norm.denormalize(xh, m), x, atol=1e-6)
        True
        >>> normalizer("over:ct", layout="bcft").moments(torch.randn(3, 2, 64, 50)).mean.shape
        torch.Size([3, 1, 64, 1])
    """
    if isinstance(name, Normalizer):
        return name
    if layout is not None:
        layout_named(layout)
    if isinstance(name, str) and name.lower().startswith(_OVER):
        axes = name.lower().removeprefix(_OVER)
        return Over(layout=layout, eps=eps, unbiased=unbiased, positive_only=positive_only, axes=axes)
    match = _NAME.fullmatch(name.lower()) if isinstance(name, str) else None
    kind = match and (match["kind"] or match["plain"])
    if match is None or kind not in _KINDS or (_KINDS[kind].grouped and not match["number"]):
        raise FeatmixError("normalizer", "name", expected="a normalizer", got=repr(name), fix=_meant(name))
    number = int(match["number"]) if match["number"] else None
    return _KINDS[kind](
        layout=layout,
        eps=eps,
        unbiased=unbiased,
        positive_only=positive_only,
        groups=None if match["dash"] else number,
        width=number if match["dash"] else None,
    )
