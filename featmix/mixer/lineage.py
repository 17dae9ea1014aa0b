"""From which forwards of an attached model an output came: told by its autograd graph, whatever happened to it since.

The hook on the model stamps the node that made each output. A cast, a slice, a head outside the model or a wrapper add nodes
above it, from which the stamped one is found again. A stamp lives in the ``metadata`` of a node: it keeps no tensor alive, and
goes when the graph goes. What has no graph has no stamp: outputs without gradient, and those of code that was compiled as a
whole, the model's hooks included.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

_KEY = "featmix"
FEW = 64  # nodes that are looked at for every loss: a head and a cast have less
ALL = 100_000  # where it is in doubt


def stamp(output: Tensor, model: int, decision: object) -> None:
    """Note which decision the forward had that an output came from.

    Args:
        output: What a model returned.
        model: The number of the model's switch.
        decision: What is the same for all forwards with one decision; ``None`` for a clean forward.
    """
    node: Any = output.grad_fn
    if node is not None:
        node.metadata.setdefault(_KEY, []).append((model, decision))


def came_from(output: Any, model: int, decision: object, *, limit: int) -> bool | None:
    """Return whether an output came from a forward with a decision; ``None`` where that cannot be told.

    Args:
        output: A model's output, or what was computed from it.
        model: The number of the model's switch.
        decision: What the forward was stamped with.
        limit: How many nodes are looked at.

    Returns:
        True if one of the forwards that it came from had the decision, of this model or of another; False if it came from
        this model, and none had.

    Example:
        >>> import torch
        >>> features = torch.ones(2, 3, requires_grad=True) * 2
        >>> stamp(features, 1, "mine")
        >>> scores = torch.nn.Linear(3, 5)(features).double()[:, :2]
        >>> came_from(scores, 1, "mine", limit=64), came_from(scores, 1, "other", limit=64)
        (True, False)
    """
    node: Any = output.grad_fn if isinstance(output, Tensor) else None
    nodes, known, elsewhere = [node], {node, None}, False
    for node in nodes:  # grows on the way: the nearest come first
        if node is None or limit == 0:
            break
        limit -= 1
        for where, which in node.metadata.get(_KEY, ()):
            if which is decision:
                return True
            elsewhere = elsewhere or where == model
        for before, _ in node.next_functions:
            if before not in known:
                known.add(before)
                nodes.append(before)
    return False if elsewhere else None


def sources(output: Any, model: int, *, limit: int) -> list[Any] | None:
    """Return what the forwards of a model had that an output was computed from, the nearest first.

    Args:
        output: A model's output, or what was computed from it.
        model: The number of the model's switch.
        limit: How many nodes are looked at.

    Returns:
        Stamps, each once, ``None`` among them for a clean forward; no list where there are more nodes.

    Example:
        >>> import torch
        >>> one, other = (torch.ones(2, requires_grad=True) * 2 for _ in range(2))
        >>> stamp(one, 1, "first"), stamp(other, 1, "second")
        (None, None)
        >>> sources((one + other).sum(), 1, limit=64), sources(one.detach(), 1, limit=64)
        (['first', 'second'], [])
    """
    first: Any = output.grad_fn if isinstance(output, Tensor) else None
    nodes, known, found = [first], {first, None}, list[Any]()
    for node in nodes:  # grows on the way: the nearest come first
        if node is None:
            break
        if limit == 0:
            return None
        limit -= 1
        here = [which for where, which in node.metadata.get(_KEY, ()) if where == model]
        named = [which for which in here if which is not None]  # of calls within calls, the one that had a decision
        found += [which for which in named or here[:1] if not any(which is one for one in found)]
        for before, _ in () if here else node.next_functions:
            if before not in known:
                known.add(before)
                nodes.append(before)
    return found
