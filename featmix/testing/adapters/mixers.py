"""A black box that draws by itself and mixes labels too, as a strategy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.labels.mixture import Mixture
from featmix.layouts import layout as layout_named
from featmix.seeding import seeded
from featmix.strategies.base import Strategy
from featmix.strategies.params import Draw, Params
from featmix.strategies.tags import Tags
from featmix.testing.source import remember

MixFunction = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def from_mixer(
    f: MixFunction, *, layout: str = "bchw", name: str | None = None, needs_float: bool = True, p: float = 1.0
) -> Strategy:
    """A black box as a strategy that the laws can be tried on: the mixing of another library, for example.

    Its decision is a seed. Before each call torch's, NumPy's and Python's global generators are seeded with it, and after
    it they are put back. What the labels become is read off the soft labels that the box returns for one-hot labels, one
    class a row; so is each row's partner. Rows depend on the batch in ways that nobody outside can tell apart, so the
    strategy is tagged ``batch_coupled``, and laws that take rows out of the batch do not apply; nor does that of the
    compiler, which cannot follow a seed. That labels say what the features hold does apply. Gates are featmix's, so the law
    of probability says nothing of the box's own.

    The box has to draw the same whatever the values and the dtype of the features are.

    Args:
        f: ``f(x, labels) -> (y, soft)``: features ``(B, ...)`` and one-hot labels ``(B, B)``, both float32 at least; what
            comes back has the same shapes.
        layout: Names the axes of ``x``.
        name: What reports call it; the function's own name where not given.
        needs_float: Whether integer features are refused.
        p: Probability that featmix calls it at all, over and above any probability of its own.

    Raises:
        FeatmixError: If the layout is unknown or ``f`` is no function.

    Example:
        >>> from featmix.testing import check_strategy
        >>> def blend(x, labels):
        ...     lam, order = torch.rand(()), torch.randperm(len(x))
        ...     return lam * x + (1 - lam) * x[order], (1 - lam) * labels + lam * labels[order]
        >>> law = "labels_measure_content"
        >>> check_strategy(from_mixer(blend), only=[law], on_fail=None)[0].status
        'failed'
    """
    if not callable(f):
        raise FeatmixError("from_mixer", "f", expected="a function f(x, labels)", got=repr(f))
    called = name or str(getattr(f, "__name__", type(f).__name__))
    made = MixerStrategy(f, layout=layout, called=called, needs_float=needs_float, p=p)
    remember(made, from_mixer, f, layout=layout, name=name, needs_float=needs_float, p=p)
    return made


@dataclass(frozen=True, eq=False)
class MixerParams(Params):
    """The decision of a black box.

    Args:
        partner: ``(B,)`` the row from which most of the other labels come, or the row itself; read off the labels.
        active: See :class:`~featmix.strategies.params.Params`.
        lam: ``(B,)`` the weight of the sample's own label, read off the labels.
        mixture: Read off the labels.
        seed: ``()`` int64, for the global generators.
    """

    seed: Tensor


class MixerStrategy(Strategy[MixerParams]):
    """The strategy that :func:`from_mixer` makes of a function; see there for the arguments."""

    traceable: ClassVar[bool] = False  # it seeds the global generators, which no compiler follows
    f: MixFunction

    def __init__(self, f: MixFunction, *, layout: str, called: str, needs_float: bool, p: float) -> None:
        super().__init__(p=p, partner="permutation", layout=layout)
        tags = Tags(mixes_labels=True, paper="", spatial=layout_named(layout).grid, needs_float=needs_float, batch_coupled=True)
        self.tags, self.f = tags, f
        vars(self)["name"] = called

    def decide(self, shape: Sequence[int], draw: Draw) -> MixerParams:
        """Draw a seed, and find out with features of zeros what the labels become."""
        if len(shape) < 2:
            raise FeatmixError(
                self.name, "shape", expected="the whole shape of the features", got=tuple(shape), fix="The box has to be run."
            )
        batch = len(draw)
        seed = torch.from_numpy(draw.random.integers(2**31, size=()).reshape(()))
        own = soft = torch.eye(batch)
        if not batch or draw.active.any():
            with torch.no_grad():
                _, soft = self._call(torch.zeros(tuple(shape)), seed)
        weight = torch.where(torch.from_numpy(draw.active).view(-1, 1), soft.float(), own)
        rows = torch.arange(batch)
        if batch:
            share, other = weight.masked_fill(own.bool(), -1.0).max(1)
            draw = dataclasses.replace(draw, partner=torch.where(share > 0, other, rows).numpy())
        mixture = Mixture(rows.expand(batch, batch), weight) if batch else Mixture.identity(0)
        return MixerParams.of(draw, weight.diagonal().numpy(), mixture=mixture, seed=seed)

    def act(self, x: Tensor, params: MixerParams) -> Tensor:
        """Call the box with the seed of the decision."""
        return self._call(x, params.seed)[0]

    def mixed(self, x: Tensor, params: MixerParams, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the box makes of features and labels ``(B, B)`` of any kind with the seed of the decision."""
        return self._call(x, params.seed, labels)

    def __repr__(self) -> str:
        return f"from_mixer({self.name})"

    def _call(self, x: Tensor, seed: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        labels = torch.eye(len(x), device=x.device) if labels is None else labels
        with seeded(int(seed)):
            result = self.f(x, labels)
        if not (isinstance(result, tuple | list) and len(result) == 2 and all(isinstance(t, Tensor) for t in result)):
            raise FeatmixError(self.name, "result", expected="features and soft labels", got=type(result).__name__)
        y, soft = result
        for what, found, wanted in (("features", y, x), ("labels", soft, labels)):
            if found.shape != wanted.shape or (found.dtype != wanted.dtype and what == "features"):
                raise FeatmixError(
                    self.name,
                    what,
                    expected=f"{wanted.dtype} of shape {tuple(wanted.shape)}",
                    got=f"{found.dtype} of shape {tuple(found.shape)}",
                )
        return y, soft
