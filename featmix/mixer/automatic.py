"""``auto=True``: a decision for each training forward, for loops whose code stays as it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from featmix.errors import FeatmixError
from featmix.labels.mixture import Mixture
from featmix.mixer.given import Wanted
from featmix.mixer.hooked import Hook
from featmix.mixer.hooks import in_backward
from featmix.mixer.lineage import ALL, sources
from featmix.mixer.mix import REDUCTION, Mix
from featmix.mixer.record import Record
from featmix.mixer.switch import Decision, Switch
from featmix.support.arguments import helpful
from featmix.support.compiling import run_as_plain_python

AlsoGiven = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]
"""What else ``draw`` is to be given, such as ``mask=``: a function of the model's arguments by name; None draws nothing."""

RECENT = 2  # decisions that are kept for outputs that do not tell where they came from


class Automatic:
    """The part of a :class:`~featmix.Mixer` that knows the decision that an output had, whoever drew it."""

    _switch: Switch
    _root: nn.Module
    _auto: bool | AlsoGiven
    _sent_by: int | None
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

    @property
    def number(self) -> int:
        """The number by which the graphs of outputs know the model."""
        return self._switch.number

    @helpful("Mixer.loss", {"reduction": REDUCTION}, write="mixer.loss(criterion, output, target)")
    def loss(
        self, criterion: Callable[..., Tensor], output: Tensor, target: Tensor, *, label_map: bool | None = None
    ) -> Tensor:
        """Return the loss of an output, by the decision of the forward that it came from.

        It is the criterion itself in eval mode, and for every forward that no decision was drawn for.

        Args:
            criterion: See :meth:`featmix.Mix.loss`.
            output: Model output, ``(B, ...)``, or what was computed from it.
            target: Targets or label maps, not mixed.
            label_map: See :meth:`featmix.Mix.loss`.

        Raises:
            FeatmixError: If the output came from forwards with several decisions, or cannot be told from another forward's,
                and all that :meth:`featmix.Mix.loss` raises.

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
        return self.mix_of("Mixer.loss", output).loss(criterion, output, target, label_map=label_map)

    def accuracy(self, output: Tensor, target: Tensor, *, top_k: int = 1, threshold: float | None = None) -> Tensor:
        """Return :meth:`featmix.Mix.accuracy` by the decision of the forward that an output came from, as :meth:`loss` does."""
        return self.mix_of("Mixer.accuracy", output).accuracy(output, target, top_k=top_k, threshold=threshold)

    def mix_of(self, method: str, output: Tensor) -> Mix:
        """Return the decision of the forward that an output came from; one that leaves labels alone where it had none.

        Args:
            method: Who asks, for messages.
            output: Model output, ``(B, ...)``, or what was computed from it.

        Raises:
            FeatmixError: If it had several, or that cannot be told.
        """
        if not isinstance(output, Tensor) or output.ndim == 0:
            got = type(output).__name__ if not isinstance(output, Tensor) else "a single number"
            raise FeatmixError(method, "output", expected="what the model returned, (B, ...)", got=got)
        known = sources(output, self._switch.number, limit=ALL)
        if known is not None and len(known) > 1:
            fix = "Take the loss of each forward by itself, or let them share one decision: mixer.repeat(mix)."
            got = f"one of {len(known)} forwards that had different ones"
            raise FeatmixError(method, "output", expected="an output that had one decision", got=got, fix=fix)
        if known and known[0] is not None:
            return _alive(method, known[0])
        if known:
            self._note_clean(method)
            return _plain(output)
        if not output.requires_grad:  # nothing is trained on it: a number to look at
            latest = self._switch.latest
            return (self._root.training and latest and latest.mix and latest.mix()) or _plain(output)
        return self._of_unknown(method, output)

    def _of_unknown(self, method: str, output: Tensor) -> Mix:
        """Return the decision of an output whose graph does not tell it, as in code that was compiled as a whole.

        It is the last forward's, unless that one's outputs do tell: then the output is of another model.
        """
        if not self._root.training:
            return _plain(output)
        if not self._recent:
            self._note_clean(method)
            return _plain(output)
        last, *before = [mix.decision.record for mix in self._recent if mix.decision is not None]
        if last.stamped:
            raise FeatmixError(
                method,
                "output",
                expected="what the attached model returned, or what was computed from it",
                got="an output that did not come from it, or has lost its graph",
                fix="Of another model, take the criterion itself; around a whole model, checkpoint with use_reentrant=False; "
                "in other cases ask the decision: mixer.mix.loss(criterion, output, target).",
            )
        if last.taken and self._switch.last is None:
            return _plain(output)  # the last training forward was clean
        if any(record.taken and not record.asked for record in before):
            raise FeatmixError(
                method,
                "output",
                expected="an output that tells which forward it came from, or a loss after each forward",
                got="one of two forwards, in code that was compiled as a whole",
                fix="Keep mixer.mix after each forward, and ask that for the loss: mix.loss(criterion, output, target).",
            )
        return self._recent[0]

    def _note_clean(self, method: str) -> None:
        """Look at a loss of an output that is not mixed, whether that is meant."""
        if not self._root.training:
            return
        if self._sent_by is None or self._auto is False:
            self._switch.notices.loss_without_draw()
        else:
            raise FeatmixError(
                method,
                expected="a mixer that is attached",
                got="a copy, which attaches to the model that was copied with it when it first draws",
                fix="Call mixer.draw(images, target=labels) once before the copy's first training forward.",
            )


def _alive(method: str, record: Record) -> Mix:
    """Return what was drawn; the output's own graph keeps it."""
    mix: Mix | None = record.mix and record.mix()
    if mix is None:
        fix = "Keep mixer.mix after the forward, and ask that: mix.loss(criterion, output, target)."
        raise FeatmixError(method, "output", expected="a forward whose decision is known still", got="one long past", fix=fix)
    return mix


def _plain(output: Tensor) -> Mix:
    return Mix({}, Mixture.identity(len(output), output.device), {})


class Draws(Protocol):
    """What a hook asks to draw."""

    def draw_for_call(self, hook: DrawPreHook, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Draw for a call of the model that begins."""


class DrawPreHook(Hook):
    """Pre-hook on the model, before the one that takes a decision: draws one for a training forward that has none."""

    def __init__(self, mixer: Draws, switch: Switch, wanted: Wanted, given: AlsoGiven | None) -> None:
        self.mixer, self.switch, self.wanted, self.given = mixer, switch, wanted, given
        self.drawn: Decision | None = None  # by this hook, lately

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Draw, never in eval mode, without gradient, inside backward, or where somebody has drawn."""
        if not module.training or not torch.is_grad_enabled():
            return
        if self.switch.next is not None and self.switch.next is not self.drawn:
            return  # what this hook itself has left there is of a forward that failed at its beginning
        if torch.compiler.is_exporting() or (not torch.compiler.is_compiling() and in_backward()):
            return
        self.mixer.draw_for_call(self, args, kwargs)

    def arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a call's arguments by name; positions stand in place of names that are not known."""
        names = (*self.wanted.arguments, *map(str, range(len(self.wanted.arguments), len(args))))
        return {**dict(zip(names, args, strict=False)), **kwargs}

    def given_for(self, arguments: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return what ``draw`` is given beside the batch, or None where it is not to be called.

        Raises:
            FeatmixError: If the function of ``auto=`` returns something else.
        """
        given = {} if self.given is None else self.given(arguments)
        if given is not None and not isinstance(given, Mapping):
            expected = "a function that returns a dictionary of what draw is given beside the batch, or None for no draw"
            raise FeatmixError("attach", "auto", expected=expected, got=type(given).__name__)
        return given


run_as_plain_python(DrawPreHook.__call__)


def checked_auto(auto: bool | AlsoGiven) -> bool | AlsoGiven:
    """Return what ``auto=`` may be.

    Raises:
        FeatmixError: If it is none of that.
    """
    if not isinstance(auto, bool) and not callable(auto):
        expected = (
            "True, False, or a function of the model's arguments by name that returns what draw is given beside the batch"
        )
        raise FeatmixError("attach", "auto", expected=expected, got=repr(auto))
    return auto
