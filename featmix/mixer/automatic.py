"""Drawing by itself: a decision for each training forward, for loops that nobody wants to edit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from featmix.errors import FeatmixError
from featmix.labels.mixture import Mixture
from featmix.mixer.given import Wanted
from featmix.mixer.hooked import Hook
from featmix.mixer.hooks import in_backward
from featmix.mixer.lineage import FEW, came_from
from featmix.mixer.mix import Mix
from featmix.mixer.switch import Switch
from featmix.support.compiling import run_as_plain_python

if TYPE_CHECKING:
    from featmix.mixer.mixer import Mixer

AlsoGiven = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""What else ``draw`` is to be given, such as ``mask=``: a function of the model's arguments by name."""

RECENT = 4  # decisions that a loss is looked up among: of two views, or of micro-batches


class Automatic:
    """The part of a :class:`~featmix.Mixer` that knows the decision of the last forwards, whoever drew it."""

    _switch: Switch
    _root: nn.Module
    _recent: deque[Mix]

    @property
    def mix(self) -> Mix:
        """The decision that was drawn last, by ``draw`` or by the model's last training forward (``auto=True``).

        Raises:
            FeatmixError: If nothing has been drawn yet.
        """
        if not self._recent:
            fix = "Call the model in training mode and with gradient, or mixer.draw(images, target=labels)."
            raise FeatmixError("Mixer.mix", expected="a decision", got="none drawn so far", fix=fix)
        return self._recent[0]

    def loss(
        self, criterion: Callable[..., Tensor], output: Tensor, target: Tensor, *, label_map: bool | None = None
    ) -> Tensor:
        """Return the loss of an output, by the decision of the forward that it came from; plain in eval mode.

        Args:
            criterion: See :meth:`Mix.loss`.
            output: Model output, ``(B, ...)``, of one of the last forwards.
            target: Targets or label maps, not mixed.
            label_map: See :meth:`Mix.loss`.

        Raises:
            FeatmixError: If the output came from another forward than those of the last decisions, in training mode.

        Example:
            >>> import featmix as fm
            >>> from torch.nn import functional as F
            >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))
            >>> images, labels = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 3])
            >>> mixer = fm.attach(model, {"input": fm.Mixup(), "0": fm.MoEx()}, example=images, auto=True)
            >>> loss = mixer.loss(F.cross_entropy, model(images), labels)
            >>> output = model.eval()(images)
            >>> bool(mixer.loss(F.cross_entropy, output, labels) == F.cross_entropy(output, labels))
            True
        """
        return self._mix_of(output, len(target)).loss(criterion, output, target, label_map=label_map)

    def accuracy(self, output: Tensor, target: Tensor, *, top_k: int = 1, threshold: float | None = None) -> Tensor:
        """Return :meth:`Mix.accuracy` by the decision of the forward that an output came from; plain in eval mode."""
        return self._mix_of(output, len(target)).accuracy(output, target, top_k=top_k, threshold=threshold)

    def _mix_of(self, output: Tensor, rows: int) -> Mix:
        for mix in self._recent:
            if mix.decision is not None and came_from(output, self._switch.number, mix.decision.record, limit=FEW):
                return mix
        if self._recent and self._root.training and (output.requires_grad or torch.is_grad_enabled()):
            return self._recent[0]  # which refuses what is certainly of another forward
        if self._root.training and output.requires_grad:
            self._switch.notices.loss_without_draw()
        return Mix({}, Mixture.identity(rows, output.device), {})


class DrawPreHook(Hook):
    """Pre-hook on the model, before the one that takes a decision: draws one for a training forward that has none."""

    def __init__(self, mixer: Mixer, switch: Switch, wanted: Wanted, given: AlsoGiven | None) -> None:
        self.mixer, self.switch, self.wanted, self.given = mixer, switch, wanted, given

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Draw, never in eval mode, without gradient, inside backward, or where somebody has drawn."""
        if not module.training or not torch.is_grad_enabled() or self.switch.next is not None:
            return
        if torch.compiler.is_exporting() or (not torch.compiler.is_compiling() and in_backward()):
            return
        self.mixer.draw_for_call(self, args, kwargs)

    def arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a call's arguments by name; positions stand in place of names that are not known."""
        names = (*self.wanted.arguments, *map(str, range(len(self.wanted.arguments), len(args))))
        return {**dict(zip(names, args, strict=False)), **kwargs}


run_as_plain_python(DrawPreHook.__call__)
