"""One decision for several forwards: more steps of the same batch, and teachers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from featmix.errors import FeatmixError
from featmix.mixer.mix import Mix
from featmix.mixer.switch import Decision, Switch

if TYPE_CHECKING:
    from featmix.mixer.tree import At


class Repeating:
    """The part of a :class:`~featmix.Mixer` that hands a decision to more than one forward."""

    _switch: Switch
    _leaves: dict[str, At]
    _places: dict[str, str]

    def repeat(self, mix: Mix) -> None:
        """Arm the same decision for one more training forward: SAM, closures of L-BFGS, a second view of the batch.

        The rows of the batch must be the same ones, in the same order. A mix drawn in eval mode arms nothing, as there. Before
        the first forward nothing is to be armed, so that a closure may call it every time.

        Args:
            mix: What :meth:`featmix.Mixer.draw` returned; of another mixer too, whose tree has the same sites.

        Raises:
            FeatmixError: If another decision waits for its forward, or the mix is of a mixer with other sites.

        Example:
            >>> import featmix as fm
            >>> import torch
            >>> from torch import nn
            >>> from torch.nn import functional as F
            >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
            >>> mixer = fm.attach(model, {"0": fm.Mixup()}, seed=0)
            >>> x, y = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
            >>> mix = mixer.draw(x, target=y)
            >>> first = mix.loss(F.cross_entropy, model(x), y)
            >>> mixer.repeat(mix)
            >>> bool(first == mix.loss(F.cross_entropy, model(x), y))
            True
        """
        decision = self._decision_again("Mixer.repeat", mix)
        if decision is None:
            return
        waiting = self._switch.next
        if waiting is not None and waiting.record is not decision.record:
            raise FeatmixError(
                "Mixer.repeat",
                expected="a training forward after each draw",
                got="a decision that waits for its forward",
                fix="Call the model in training mode, or mixer.discard() to drop the decision.",
            )
        if waiting is None:
            self._switch.next = decision

    @contextmanager
    def teaching(self, mix: Mix) -> Iterator[None]:
        """Give the same decision to forwards that take none by themselves: those without gradient, and those in eval mode.

        A teacher thus sees what its student sees. It may be the same model under ``no_grad``, before or after the training
        forward, or another one with a mixer of its own whose tree has the same sites: ``teacher_mixer.teaching(mix)``.

        Args:
            mix: What :meth:`featmix.Mixer.draw` returned, of this mixer or of the student's.

        Raises:
            FeatmixError: If no such forward took the decision, or the mix is of a mixer with other sites.

        Example:
            >>> import featmix as fm
            >>> import torch
            >>> from torch import nn
            >>> model = nn.Linear(4, 3)
            >>> mixer, x = fm.attach(model, {"input": fm.Mixup()}, seed=0), torch.randn(6, 4)
            >>> mix = mixer.draw(x)
            >>> with torch.no_grad(), mixer.teaching(mix):
            ...     soft = model(x)
            >>> bool((soft == model(x)).all())
            True
        """
        decision = self._decision_again("Mixer.teaching", mix)
        before, self._switch.aside = self._switch.aside, decision
        try:
            yield
        finally:
            self._switch.aside = before
        if decision is not None and not decision.taken:
            raise FeatmixError(
                "Mixer.teaching",
                expected="a forward without gradient or in eval mode, inside the with statement",
                got="none",
                fix="A training forward with gradient takes a decision by draw or repeat.",
            )

    def _decision_again(self, method: str, mix: Mix) -> Decision | None:
        if not isinstance(mix, Mix):
            raise FeatmixError(method, "mix", expected="what draw returned", got=type(mix).__name__)
        if not self._switch.handles:
            raise FeatmixError(method, expected="an attached mixer", got="one that was removed", fix="Attach again.")
        drawn = mix.decision
        if drawn is None:
            return None
        if set(drawn.params) != set(self._leaves):
            raise FeatmixError(
                method,
                "mix",
                expected=f"a decision for the sites {', '.join(map(repr, self._leaves))}",
                got=", ".join(map(repr, drawn.params)),
            )
        self._switch.notices.in_use()
        return replace(drawn, sites=self._places, fired=type(drawn.fired)(), again=True, taken=False)
