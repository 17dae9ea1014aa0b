"""The hooks that carry a decision into a forward pass. They hold no randomness and no state of their own.

They find it in a :class:`~featmix.mixer.switch.Switch`. During backward the decision of the forward that is being
differentiated is put back there, because activation checkpointing runs parts of that forward again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from featmix.errors import FeatmixError
from featmix.mixer.containers import child_at, put, tensors
from featmix.mixer.hooked import Hook
from featmix.mixer.lineage import stamp
from featmix.mixer.outputs import act_on
from featmix.mixer.switch import Decision, Switch, switches
from featmix.mixer.tree import At
from featmix.strategies.params import Params
from featmix.support.compiling import constant_when_traced, noted, run_as_plain_python


class ModelPreHook(Hook):
    """Pre-hook on the model: a training forward with gradient takes the decision; the input site acts."""

    def __init__(self, switch: Switch, leaves: dict[str, At]) -> None:
        self.switch, self.number, self.leaves = switch, switch.number, leaves

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Take ``next`` in training mode; clear what an earlier forward left in any mode."""
        switch = self.switch
        if torch.compiler.is_compiling() or not in_backward():
            _begin(self.number)
            decision = switch.take(module.training and torch.is_grad_enabled())
            if switch.current is not decision:
                switch.current = decision
            if not torch.compiler.is_compiling():
                switch.latest = None if decision is None else decision.record
            if decision is None and not torch.compiler.is_compiling():
                switch.notices.clean_forward(training=module.training, gradient=torch.is_grad_enabled())
        elif not switch.replaying:
            raise FeatmixError(
                "attach",
                "model",
                expected="checkpointing with use_reentrant=False around a whole attached model, or of its parts",
                got="a whole model run again inside backward, its decision unknown",
                fix="Pass use_reentrant=False, or checkpoint the layers instead.",
            )
        decision = switch.current
        if decision is None or not self.leaves:
            return None
        given: Any = (args, kwargs)
        places = decision.given.places_in(args, kwargs)
        y = _act(self.leaves, decision, child_at(given, places[0]), 0)
        return put(given, dict.fromkeys(places, y))


class SiteHook(Hook):
    """Forward hook on a site: acts on what the module returns."""

    def __init__(self, switch: Switch, site: str, leaves: dict[str, At]) -> None:
        self.switch, self.number, self.site, self.leaves = switch, switch.number, site, leaves
        self.indexed = any(leaf.call is not None for leaf in leaves.values())

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """Apply this step's decision, if there is one."""
        decision = self.switch.current
        if decision is None:
            if not torch.compiler.is_compiling() and in_backward():
                self._check_known()
            return None
        if torch.compiler.is_compiling():
            call = _count_traced(self.number, self.site, self.indexed)
        elif in_backward():
            call = self._replayed_call()
        else:
            call = self.switch.count(self.site, self.indexed)
        return _act(self.leaves, decision, output, call)

    def _check_known(self) -> None:
        if not self.switch.replaying and self.switch.pending is not None:
            raise FeatmixError(
                "attach",
                self.site,
                expected="backward through the output of the model",
                got="a layer run again inside backward, its decision unknown",
                fix="Activation checkpointing needs the loss to depend on a tensor that the model returns.",
            )

    def _replayed_call(self) -> int:
        if self.indexed:
            raise FeatmixError(
                "attach",
                self.site,
                expected="no activation checkpointing around a module that is called more than once",
                got="the module run again inside backward, where calls cannot be told apart",
                fix="Checkpoint other layers, or give the model a module of its own for each call.",
            )
        return 0


class ModelPostHook(Hook):
    """Post-hook on the model, called after exceptions too: clears the decision, and puts it back during backward."""

    def __init__(self, switch: Switch) -> None:
        self.switch, self.number = switch, switch.number

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """Clear; in eager code check that every site fired, remember the decision for backward, and stamp the output."""
        switch = self.switch
        decision = switch.current
        if torch.compiler.is_compiling():
            if decision is not None:
                switch.current = None
            return
        if in_backward():  # a checkpointed model run again: the decision is needed until backward ends
            return
        switch.current = None
        if output is None:
            return
        if decision is not None:
            switch.check_fired(decision)
        if torch.is_grad_enabled():
            if decision is not None:
                switch.pending = decision
            restore = _Restore(switch, decision)
            for tensor in tensors(output):
                if tensor.requires_grad:
                    if decision is not None:
                        decision.record.stamped = True
                    stamp(tensor, self.number, None if decision is None else decision.record)
                    if module.training or decision is not None:
                        tensor.register_hook(restore)  # type: ignore[no-untyped-call]


class _Restore:
    """Tensor hook on an output: backward through this forward sees this forward's decision, and nothing after it does."""

    def __init__(self, switch: Switch, decision: Decision | None) -> None:
        self.switch, self.decision = switch, decision
        drawn = None if decision is None else decision.record.mix
        self.mix = drawn and drawn()  # kept for whoever asks with the output alone

    def __call__(self, gradient: Tensor) -> None:
        if self.decision is not None:
            self.decision.record.learned_from = True
        self.switch.current, self.switch.replaying = self.decision, True
        if self.decision is self.switch.pending:
            self.switch.pending = None
        torch.autograd.Variable._execution_engine.queue_callback(self._forget)

    def _forget(self) -> None:
        self.switch.current, self.switch.replaying = None, False


def _act(leaves: dict[str, At], decision: Decision, value: Any, call: int) -> Any:
    for key, leaf in leaves.items():
        if leaf.call not in (None, call):
            continue
        compiling, params = torch.compiler.is_compiling(), decision.params[key]
        again = not compiling and in_backward()
        if compiling:
            noted(decision.fired.add, key)
        elif not again:
            decision.fired.add(key)
        resting = not compiling and key in decision.idle
        remembers = not again and not (leaf.strategy.remembers and decision.again)

        def act(
            x: Tensor, leaf: At = leaf, params: Params = params, remembers: bool = remembers, resting: bool = resting
        ) -> Tensor:
            if params.partner.device != x.device:
                params = params.to(x.device)
            if remembers:
                leaf.strategy.remember(x, params)
            if resting:
                return x
            if not torch.compiler.is_compiling():
                _check_has_effect(leaf, x)
                decision.notices.met(leaf, tuple(x.shape[1:]))
            return leaf.strategy.transform(x, params)

        value = act_on(leaf, params.partner.shape[0], value, act)
    return value


def _check_has_effect(leaf: At, x: Tensor) -> None:
    if leaf.strategy.tags.mixes_labels and leaf.strategy.passes_through(leaf.strategy.body_shape(x.shape)):
        raise FeatmixError(
            type(leaf.strategy).__name__,
            leaf.site,
            expected="features with more than one element a mean, or labels decided with their shape in view",
            got=f"shape {tuple(x.shape)}, which it leaves as it is, and labels that are mixed",
            fix="Pass attach(..., example=images) with images of this size: labels then stay where features do.",
        )


def in_backward() -> bool:
    """Return whether backward is running: what runs now is run again, for its gradients."""
    return torch._C._current_graph_task_id() != -1


@constant_when_traced
def _begin(number: int) -> bool:
    switches[number].begin()
    return True


@constant_when_traced
def _count_traced(number: int, site: str, indexed: bool) -> int:
    """Return the number of this call. It becomes a constant of the graph, and nothing is counted when the graph runs."""
    trace = torch._guards.CompileContext.current_trace_id()
    return switches[number].count_traced(site, indexed, *((trace.compile_id, trace.attempt) if trace else (None, None)))


run_as_plain_python(ModelPreHook.__call__)
run_as_plain_python(ModelPostHook.__call__)
