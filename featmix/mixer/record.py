"""What became of a decision: whether a forward took it, and whether a loss was asked for."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(eq=False)
class Record:
    """One for each draw; all forwards with its decision share it.

    Attributes:
        taken: Whether a training forward took the decision.
        asked: Whether anybody asked what the labels became.
        learned_from: Whether a backward pass has gone through an output that had it.
        outputs: Weak references to outputs of unknown origin that a loss was asked for.
        stamped: Whether outputs of its forwards tell by their graph where they came from.
        mix: A weak reference to what was drawn.
    """

    taken: bool = False
    asked: bool = False
    learned_from: bool = False
    outputs: list[Any] = field(default_factory=list)
    stamped: bool = False
    mix: Any = None

    def knows(self, output: Tensor, *, last: bool) -> bool:
        """Return whether an output of unknown origin is taken for this decision's.

        Args:
            output: What a loss is asked for.
            last: Whether the last training forward had this decision: the output is then taken for that forward's.
        """
        if not isinstance(output, Tensor) or not output.requires_grad:
            return True  # nothing is trained on it
        known = any(one() is output for one in self.outputs)
        if not known and (last or not self.outputs):
            self.outputs.append(weakref.ref(output))
            return True
        return known
