"""What the authors' code does, as they published it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

import featmix as fm

Layer = Callable[[Tensor], Tensor]


def moex(x: Tensor, partner: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The op of the MoEx authors: normalize, then restore with the partner's moments."""
    mean, std = x.mean(dims, keepdim=True), x.var(dims, keepdim=True).add(1e-5).sqrt()
    return (x - mean) / std * std[partner] + mean[partner]


def mixstyle(x: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    """The layer of the MixStyle authors."""
    mean, std = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True).add(1e-6).sqrt()
    mean, std = mean.detach(), std.detach()
    normed = (x - mean) / std
    return normed * (lam * std + (1 - lam) * std[partner]) + lam * mean + (1 - lam) * mean[partner]


def mixup(x: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    """Mixup as published."""
    return lam * x + (1 - lam) * x[partner]


def cutmix(x: Tensor, partner: Tensor, box: list[list[int]]) -> Tensor:
    """CutMix as published, with one box for the batch."""
    (top, bottom), (left, right) = box
    y = x.clone()
    y[:, :, top:bottom, left:right] = x[partner, :, top:bottom, left:right]
    return y


@dataclass(frozen=True)
class Duel:
    """The same decision by the formula and by featmix.

    Args:
        name: Of the strategy and what it was made with.
        formula: As published.
        featmix: Ours.
        plain: The formula with its decision as arguments, for the compiler.
        decision: Those arguments.
    """

    name: str
    formula: Layer
    featmix: Layer
    plain: Callable[..., Tensor]
    decision: tuple[object, ...]

    def typed(self, dtype: torch.dtype) -> Duel:
        """The same with strengths in this dtype: a float32 one would make a formula on bfloat16 compute in float32."""
        cast = tuple(
            each.to(dtype) if isinstance(each, Tensor) and each.is_floating_point() else each for each in self.decision
        )
        return replace(self, formula=lambda x: self.plain(x, *cast), decision=cast)


def duels(shape: tuple[int, ...], *, labels_too: bool = False, device: torch.device | str = "cpu") -> list[Duel]:
    """MoEx by both of its usual normalizers, on images also MixStyle; Mixup and CutMix where they are asked for."""
    axes = {"pono": (1,), "in": (2, 3)} if len(shape) == 4 else {"pono": (2,), "in": (1,)}  # tokens have channels last
    found = []
    for norm, dims in axes.items():
        moments = fm.create("moex", norm=norm)
        found.append(_duel(f"moex {norm}", moments, shape, device, moex, lambda p, d=dims: (p.partner, d)))
    if len(shape) != 4:
        return found
    like = torch.empty(1, *[1] * (len(shape) - 1))
    styles = fm.create("mixstyle", p=1.0)
    found.append(_duel("mixstyle", styles, shape, device, mixstyle, lambda p: (p.partner, p.strength(like))))
    if labels_too:
        found.append(_duel("mixup", fm.create("mixup"), shape, device, mixup, lambda p: (p.partner, p.strength(like))))
        found.append(_duel("cutmix", fm.create("cutmix"), shape, device, cutmix, lambda p: (p.partner, p.box[0].tolist())))
    return found


def own(name: str, shape: tuple[int, ...]) -> tuple[Layer, Layer]:
    """A strategy of the registry at p = 1 by its own formula, which runs where there is no faster way, and as it runs here."""
    strategy = fm.create(name, p=1.0)
    params = strategy.make_params(shape, generator=torch.Generator().manual_seed(0))
    return lambda x: fm.Strategy.gated(strategy, x, params.tied()), lambda x: strategy.transform(x, params)


def _duel(
    name: str,
    strategy: fm.Strategy,
    shape: tuple[int, ...],
    device: torch.device | str,
    plain: Callable[..., Tensor],
    decision: Callable[[fm.Params], tuple[object, ...]],
) -> Duel:
    params = strategy.make_params(shape, generator=torch.Generator().manual_seed(0)).to(device)
    chosen = decision(params)
    return Duel(name, lambda x: plain(x, *chosen), lambda x: strategy.transform(x, params), plain, chosen)


def agree(duel: Duel, x: Tensor) -> None:
    """Stop where the two differ by more than rounding."""
    if not torch.allclose(duel.formula(x), duel.featmix(x), atol=1e-4, rtol=1e-4):
        raise SystemExit(f"{duel.name} {tuple(x.shape)}: featmix and the formula disagree")


def differ(duel: Duel, x: Tensor, weight: Tensor) -> float:
    """How far results and gradients are from the formula's in float32: the worst sample's error, as a share of its norm."""
    exact, worst = duel.typed(torch.float32), 0.0
    pairs = [(duel.featmix(x), exact.formula(x.float()))]
    pairs.append((gradient(duel.featmix, x, weight)(), gradient(exact.formula, x.float(), weight.float())()))
    for ours, theirs in pairs:
        errors = (ours.float() - theirs).flatten(1).norm(dim=1) / theirs.flatten(1).norm(dim=1).clamp_min(1e-20)
        found = float(errors.max())
        worst = max(worst, found if found == found else float("inf"))  # NaN is no agreement
    return worst


def gradient(layer: Layer, x: Tensor, weight: Tensor) -> Callable[[], Tensor]:
    """Forward and backward, of which nothing is kept: a graph can be made of it."""
    leaf = x.detach().requires_grad_()
    return lambda: torch.autograd.grad(layer(leaf), leaf, weight)[0]


def there_and_back(layer: Layer, x: Tensor, weight: Tensor) -> Callable[[], None]:
    """Forward and backward."""
    leaf = x.clone().requires_grad_()

    def run() -> None:
        leaf.grad = None
        layer(leaf).backward(weight)

    return run
