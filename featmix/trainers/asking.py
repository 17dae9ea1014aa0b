"""The loss of a training step whose code stays as it is: the criterion returns the loss of the mixed labels."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from featmix.errors import FeatmixError
from featmix.labels.criteria import recognised
from featmix.mixer.lineage import ALL, sources, stamp
from featmix.mixer.mix import Mix
from featmix.mixer.mixer import Mixer
from featmix.mixer.record import Record

_OF_CLASSES = ("weight", "pos_weight")  # arguments of torch's losses that have a row for each class, and none for samples


@dataclass(frozen=True, eq=False)
class _Answered:
    """Marks a loss of mixed labels."""

    record: Record


class Steps:
    """Which decisions a training step has drawn, and whether its criterion was asked for each that mixes labels.

    Args:
        who: Who asks, for messages.
        criterion: What the user says of the criterion, for messages.
    """

    def __init__(self, who: str, criterion: str) -> None:
        self._who, self._criterion = who, criterion
        self.mixer: Mixer | None = None
        self.going, self._drawing, self._asking = False, False, False
        self._drawn: list[Mix] = []
        self._before: tuple[Any, list[Mix]] = (None, [])
        self._key: Any = None

    def begin(self, key: Any) -> None:
        """Begin a step.

        Args:
            key: The same for a step that an optimizer has evaluated once more, with the same batch: it has the same decisions.
        """
        self._before = (self._key, self._drawn)
        self.going, self._drawing, self._drawn, self._key = True, False, [], key

    def end(self) -> None:
        """End a step, also after an error."""
        self.going = False

    def forget(self) -> None:
        """Forget all steps, before another run."""
        self._before, self._key, self._drawn, self._drawing = (None, []), None, [], False

    def may_draw(self) -> bool:
        """Return whether a forward that begins needs a new decision; a forward that is repeated gets its old one."""
        if not self.going or self.mixer is None:
            return False
        self._note_drawn()
        key, before = self._before
        if key is not None and key == self._key and len(self._drawn) < len(before):
            again = before[len(self._drawn)]
            self.mixer.repeat(again)
            self._drawn.append(again)
            return False
        self._drawing = True
        return True

    def loss(self, criterion: Callable[..., Any], plainly: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Return the loss by the decision of the output, or the criterion's own loss if it had none.

        Args:
            criterion: The criterion, as a loss of mixed labels goes by it.
            plainly: What calls it as it is.
            args: Of the call.
            kwargs: Of the call.

        Raises:
            FeatmixError: If the output came from several forwards, or it cannot be told from which.
        """
        if not self.going or self._asking or self.mixer is None:
            return plainly(*args, **kwargs)
        self._note_drawn()
        if not any(mix.decision and mix.decision.label_order for mix in self._drawn):
            return plainly(*args, **kwargs)
        output, target, more = _asked_about(plainly, args, kwargs)
        mix = self._mix_of(self.mixer, output)
        if mix is None or mix.decision is None or not mix.decision.label_order:
            return plainly(*args, **kwargs)
        record = mix.decision.record
        asked = record.asked
        self._check_others(mix, more)
        self._asking = True
        try:
            loss = mix.loss(_keeping_rows(partial(criterion, **more) if more else criterion), output, target)
        finally:
            self._asking = False
        if loss.requires_grad:
            stamp(loss, self.mixer.number, _Answered(record))
        else:  # a number to look at
            record.asked = asked
        return loss

    def check(self, sites: Sequence[str], total: Any) -> None:
        """Check, when a step has ended well, that features were mixed, and labels wherever features were.

        Args:
            sites: Of the tree, for messages.
            total: What the step returned: the loss that is trained on, or a dictionary with it.

        Raises:
            FeatmixError: If no forward had a decision, or the criterion was not asked for one that mixes labels, or what is
                trained on is not what it answered.
        """
        if not self.drew:
            inside = f" that holds {', '.join(map(repr, sites))}" if sites else ""
            raise FeatmixError(
                self._who,
                "model",
                expected=f"a training_step that calls one module{inside}, in training mode and with gradient",
                got="no such call in a step",
                fix="Say which it is with model='name'; parts that are called one by one go into one module, or into the "
                "LightningModule's own forward, as self(x).",
            )
        silent = [mix for mix in self._drawn if mix.decision and mix.decision.label_order and not mix.decision.record.asked]
        if silent:
            raise FeatmixError(
                self._who,
                "criterion",
                expected=f"a call of {self._criterion} with the output of each mixed forward, in training_step",
                got=f"none for {len(silent)} of {len(self._drawn)}: labels would stay as they are",
                fix="Say which loss the step calls: criterion='name' for self.name, or criterion=F.cross_entropy for a "
                "function. Where some forwards have no loss, say which module's are mixed: model='name'.",
            )

        total = total.get("loss") if isinstance(total, Mapping) else total
        known = sources(total, self.mixer.number, limit=ALL) if self.mixer is not None else None
        answered = [one.record for one in known or () if isinstance(one, _Answered)]
        if any(isinstance(one, Record) and one not in answered and self._mixes_labels(one) for one in known or ()):
            raise FeatmixError(
                self._who,
                "criterion",
                expected=f"what is trained on to be what {self._criterion} returned",
                got="another loss of a mixed forward, in which labels would stay as they are",
                fix="Say which loss the step trains on: criterion='name' for self.name, or criterion=F.cross_entropy.",
            )

    @property
    def drew(self) -> bool:
        """Whether a forward of this step had a decision."""
        self._note_drawn()
        return bool(self._drawn)

    def _mixes_labels(self, record: Record) -> bool:
        return any(mix.decision and mix.decision.record is record and mix.decision.label_order for mix in self._drawn)

    def _note_drawn(self) -> None:
        if self._drawing and self.mixer is not None:
            self._drawn.append(self.mixer.mix)
            self._drawing = False

    def _mix_of(self, mixer: Mixer, output: Any) -> Mix | None:
        """Return the decision of an output; ``None`` if its forward was not mixed, or if it is only looked at."""
        if not isinstance(output, Tensor) or not output.requires_grad:
            return None
        known = sources(output, mixer.number, limit=ALL)
        if known is None or known:
            return mixer.mix_of(self._who, output)
        raise FeatmixError(
            self._who,
            "criterion",
            expected=f"{self._criterion} to be called with what the mixed model returned, or what was computed from it",
            got="something else, in a step whose features are mixed",
            fix="Give losses of other outputs a name of their own; a loss inside the model's forward is to be taken outside.",
        )

    def _check_others(self, mix: Mix, more: dict[str, Any]) -> None:
        rows = len(mix.mixture)
        for name, value in more.items():
            if isinstance(value, Tensor) and value.ndim and len(value) == rows and name not in _OF_CLASSES:
                raise FeatmixError(
                    self._who,
                    "criterion",
                    expected="a criterion of an output and a target",
                    got=f"{name}= with a row for each sample, which would stay unmixed",
                    fix="Put what belongs to a sample into its target, or call mixer.mix.loss in training_step.",
                )


def _keeping_rows(criterion: Callable[..., Any]) -> Callable[..., Any]:
    """Return a criterion that keeps the losses of rows if it has no reduction of its own: the step may average them."""
    if recognised(criterion) or hasattr(criterion, "reduction") or "reduction" in _parameters(criterion):
        return criterion

    def each(output: Tensor, target: Tensor, reduction: str = "none") -> Any:
        return criterion(output, target)

    return each


def _parameters(criterion: Callable[..., Any]) -> Collection[str]:
    try:
        return inspect.signature(criterion).parameters
    except (TypeError, ValueError):  # builtins without a signature
        return ()


def _asked_about(criterion: Callable[..., Any], args: Any, kwargs: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Return output and target of a call, the first two arguments, and by name those others that are not as by default."""
    try:
        signature = inspect.signature(criterion)
        given = dict(signature.bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):  # builtins without a signature
        return _first_two(args, kwargs)
    kinds = signature.parameters
    names = list(kinds)[:2]
    if any(kinds[name].kind in (kinds[name].VAR_POSITIONAL, kinds[name].VAR_KEYWORD) for name in given) or len(names) < 2:
        return _first_two(args, kwargs)
    if not all(name in given for name in names):
        return _first_two((), given)
    output, target = (given.pop(name) for name in names)
    return output, target, {name: value for name, value in given.items() if value is not kinds[name].default}


def _first_two(args: Any, kwargs: Any) -> tuple[Any, Any, dict[str, Any]]:
    if len(args) != 2:
        got = f"a call with {len(args)} arguments by position, and {', '.join(kwargs) or 'none'} by name"
        raise FeatmixError("FeatMix", "criterion", expected="a criterion of an output and a target", got=got)
    return args[0], args[1], dict(kwargs)
