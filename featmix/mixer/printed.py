"""What ``repr`` says of a mixer and of a step's decision. Nothing is read off an accelerator for it."""

from __future__ import annotations

from typing import Any

from torch import nn

from featmix.labels.mixture import Mixture
from featmix.labels.sharing import is_identity
from featmix.mixer.tree import At, Compose, Tree
from featmix.strategies.params import Params


def mixer_in_words(model: nn.Module, tree: Tree, shapes: dict[str, tuple[int, ...]], said: list[str]) -> str:
    """Return what is attached where.

    Args:
        model: That it is attached to.
        tree: What is attached.
        shapes: Of one sample at each place, as far as they are known.
        said: What else there is to say.

    Example:
        >>> import featmix as fm
        >>> print(mixer_in_words(nn.Linear(2, 3), fm.Compose([fm.At("input", fm.Mixup())]), {"input": (2,)}, ["seed 0"]))
        Mixer(Linear, seed 0,
          At('input', Mixup(alpha=1.0, p=1.0)) on (2,)
        )
    """
    listed = tree.members if isinstance(tree, Compose) and not tree.share_partner else (tree,)
    lines = []
    for member in listed:
        shape = shapes.get(member.place) if isinstance(member, At) else None
        lines.append(f"  {member!r}" + (f" on {shape}" if shape else ""))
    return "\n".join([f"Mixer({', '.join([type(model).__name__, *said])},", *lines, ")"])


def mix_in_words(params: dict[str, Params], mixture: Mixture, strategies: dict[str, Any], *, drawn: bool) -> str:
    """Return what was drawn, and the labels' shares.

    Args:
        params: The decision at each site.
        mixture: What the labels become.
        strategies: At each site.
        drawn: Whether anything was decided; nothing is in eval mode.

    Example:
        >>> import featmix as fm
        >>> import torch
        >>> params = fm.MoEx(lam=0.9).make_params((4, 3))
        >>> mix_in_words({"layer1": params}, params.mixture, {"layer1": fm.MoEx()}, drawn=True)
        'Mix(4 rows; layer1: MoEx mixed 4, lam 0.90; labels: own weight 0.90)'
    """
    if not drawn:
        return f"Mix({len(mixture)} rows; nothing is mixed: eval mode, or no draw)"
    sites = [f"{key}: {type(strategies[key]).__name__} {_of_site(params[key])}" for key in strategies if key in params]
    return f"Mix({'; '.join([f'{len(mixture)} rows', *sites, f'labels: {_of_labels(mixture)}'])})"


def _of_site(params: Params) -> str:
    if params.active.device.type != "cpu":
        return {True: "mixed none", False: "mixed"}.get(params.rests, "decided") if params.rests is not None else "decided"
    count = int(params.active.sum())
    if not count:
        return "mixed none"
    lam = "" if params.lam is None else f", lam {_range(params.lam[params.active].tolist())}"
    return f"mixed {count}{lam}"


def _of_labels(mixture: Mixture) -> str:
    there = mixture._on_host()
    if there is None:
        return f"shares on {mixture.weight.device}"
    if is_identity(there):
        return "as they were"
    return f"own weight {_range((there.weight * there.own()).sum(1).tolist())}"


def _range(values: list[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"
