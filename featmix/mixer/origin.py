"""Whether a loss is asked for an output that had the decision."""

from __future__ import annotations

from torch import Tensor

from featmix.errors import FeatmixError
from featmix.mixer.lineage import ALL, FEW, came_from
from featmix.mixer.switch import Decision, Switch


def check_output(method: str, switch: Switch, decision: Decision, output: Tensor) -> None:
    """Check that an output came from a training forward that had this decision, as far as can be told.

    Where its graph does not tell (no gradient, or compiled as a whole), forwards are counted: an output that a loss is asked
    for is the last forward's, or the first that is asked for at all.

    Args:
        method: Who asks, for messages.
        switch: Of the model that was drawn for.
        decision: The decision.
        output: The output, or what was computed from it.

    Raises:
        FeatmixError: If it did not, or no forward took the decision, or a site did not fire.
    """
    record = decision.record
    last = switch.last is not None and switch.last.record is record
    found = came_from(output, switch.number, record, limit=FEW)
    if found is False or (found is None and not last):
        found = came_from(output, switch.number, record, limit=ALL)
    if found:
        return  # that forward has checked its sites itself
    if not record.taken:
        raise FeatmixError(
            method,
            expected="a training forward of the attached model between draw and loss",
            got="none",
            fix="If you did call it: it is in eval mode, or ran under no_grad (as with use_reentrant=True around the whole "
            "model: pass use_reentrant=False), or it is not what you attached to, but a copy of it.",
        )
    if found is None and record.knows(output, last=last):
        switch.check_fired(decision)
        return
    raise FeatmixError(
        method,
        "output",
        expected="what a training forward with this decision returned",
        got="the output of another forward",
        fix="A draw serves one training forward. For one more (SAM, L-BFGS, a second view) call mixer.repeat(mix) before it; "
        "for another batch draw again; the loss of a clean forward is the criterion's own.",
    )
