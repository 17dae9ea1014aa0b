"""Laws of a strategy inside a model: compiled, checkpointed, copied, saved, exported, and in two processes."""

from __future__ import annotations

import copy
import io
import pickle

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from featmix.mixer.attach import attach
from featmix.mixer.mixer import Mixer
from featmix.strategies.base import Strategy
from featmix.testing.host import SITE, batch, gradients, host
from featmix.testing.law import demand, demand_close, law, same_bits
from featmix.testing.seen import seen
from featmix.testing.two_ranks import gradients_on_two_ranks


def attached(model: nn.Module, strategy: Strategy, seed: int = 0) -> Mixer:
    """The strategy at the host's site."""
    see(strategy, seed)
    return attach(model, {SITE: strategy}, example=batch(strategy)[0], seed=seed)


def see(strategy: Strategy, seed: int = 0) -> None:
    """Say what the host is trained on, and which decision a mixer with this seed makes first."""
    mixer = f"attach(host(subject), {{SITE: subject}}, example=x, seed={seed})"
    seen(batch(strategy)[0], seed, f"params = {mixer}.draw(x, target=batch(subject)[1]).params[SITE]")


@law("attached", cause="The strategy keeps state between calls, or acts differently when a model calls it.", drawn=False)
def fires(strategy: Strategy) -> None:
    """Attached to a layer, the strategy does exactly what ``transform`` does with the same decision.

    No tolerance: the hook calls the same function on the same tensors.
    """
    model, (x, y) = host(strategy), batch(strategy)
    first, site, last = model.body
    before = site(first(model.stem(x)))
    for seed in range(5):
        mixer = attached(model, strategy, seed)
        mix = mixer.draw(x, target=y)
        seen: list[torch.Tensor] = []
        handle = last.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
        mix.loss(F.cross_entropy, model(x), y)
        handle.remove()
        mixer.remove()
        demand(same_bits(seen[0], strategy.transform(before, mix.params[SITE])), "the layer's output is another")


@law(
    "attached",
    cause="Python numbers, lists or random draws inside transform: each new value is one more graph.",
    drawn=False,
    applies=lambda strategy: getattr(strategy, "traceable", True),
    whom="strategies that a compiler can follow",
    slow=True,
)
def compile(strategy: Strategy) -> None:
    """Under torch.compile(fullgraph=True): the eager loss, and at most 2 graphs over 12 steps of mixing on and off.

    The compiler may reorder float32 sums: 1e-5 on losses and gradients of order 1. Two graphs are one for each kind of step.
    """
    from torch._dynamo.testing import CompileCounterWithBackend

    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    eager, traced = host(strategy), host(strategy)
    mixers = attached(eager, strategy), attached(traced, strategy)
    compiled = torch.compile(traced, backend=counter, fullgraph=True)
    x, y = batch(strategy)
    for step in range(12):
        losses = []
        for model, called, mixer in ((eager, eager, mixers[0]), (traced, compiled, mixers[1])):
            model.zero_grad()
            if step % 3 < 2:
                mix = mixer.draw(x, target=y)
                loss = mix.loss(F.cross_entropy, called(x), y)
            else:
                loss = F.cross_entropy(called(x), y)
            torch.autograd.backward(loss)
            losses.append(loss.detach())
        demand_close(losses[1], losses[0], 1e-5, f"compiled loss of step {step}")
        demand_close(gradients(traced), gradients(eager), 1e-5, f"compiled gradient of step {step}")
    demand(counter.frame_count <= 2, f"{counter.frame_count} graphs")


@law(
    "attached",
    cause="Randomness or state inside transform: the layer is run again in backward and must do the same.",
    drawn=False,
)
def checkpoint(strategy: Strategy) -> None:
    """Both kinds of activation checkpointing give the plain gradient within 1e-6, whatever is drawn before backward.

    What runs again is the same arithmetic in the same order; 1e-6 of the norm leaves room for gradients that add up in
    another order. A decision that is drawn anew moves gradients by a tenth and more.
    """
    x, y = batch(strategy)
    found = []
    for reentrant in (None, True, False):
        model = host(strategy, reentrant=reentrant)
        mixer = attached(model, strategy)
        for _ in range(4):
            mix = mixer.draw(x, target=y)
            loss = mix.loss(F.cross_entropy, model(x), y)
            mixer.draw(x, target=y)
            mixer.discard()
            clean = F.cross_entropy(model(x), y)
            torch.autograd.backward(loss + clean)
        found.append(gradients(model))
    for kind, measured in zip(("reentrant", "non-reentrant"), found[1:], strict=True):
        demand((measured - found[0]).norm() <= 1e-6 * found[0].norm(), f"{kind}: off by {(measured - found[0]).norm():.3g}")


@law(
    "attached",
    cause="State that copies take along, or parameters and buffers that the strategy adds to the model.",
    drawn=False,
    slow=True,
)
def lifecycle(strategy: Strategy) -> None:
    """Copies, pickles, saved and exported models never mix and carry no hooks; functional_call mixes; removal leaves no trace.

    No tolerance: bit for bit, for the arithmetic is the same.
    """
    model, (x, y) = host(strategy), batch(strategy)
    plain, before = host(strategy), pickle.dumps(_anatomy(host(strategy)))
    expected = plain(x)
    mixer = attached(model, strategy)
    demand(list(model.state_dict()) == list(plain.state_dict()), "attaching changed the keys of state_dict")
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    mixer.draw(x, target=y)
    copies: list[nn.Module] = [copy.deepcopy(model), pickle.loads(pickle.dumps(model)), torch.load(buffer, weights_only=False)]
    for copied in copies:
        demand(copied.training and same_bits(copied(x), expected), "a copy of the model mixes")
        demand(_anatomy(copied)["hooks"] == _anatomy(plain)["hooks"], "a copy of the model carries hooks")
    model.eval()
    demand(same_bits(model(x), plain.eval()(x)), "an attached model mixes in eval mode")
    exported = torch.export.export(model, (x,)).module()
    demand(same_bits(exported(x), plain(x)), "an exported model mixes")
    mixer.discard()
    model.train()
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    state = mixer.state_dict()
    mix = mixer.draw(x, target=y)
    called = mix.loss(F.cross_entropy, torch.func.functional_call(model, weights, (x,)), y)
    other = host(strategy)
    resumed = attached(other, strategy)
    resumed.load_state_dict(state)
    same = resumed.draw(x, target=y).loss(F.cross_entropy, other(x), y)
    demand(same_bits(called, same), "functional_call, or a resumed mixer, gives another loss")
    mixer.remove()
    demand(pickle.dumps(_anatomy(model)) == before, "removal left something behind")
    demand(same_bits(model(x), expected), "the model computes something else after removal")


@law(
    "attached",
    cause="Decisions kept as module buffers, which the first rank overwrites, or ranks that share one seed.",
    drawn=False,
)
def ddp(strategy: Strategy) -> None:
    """On two gloo ranks, which get different random numbers, gradients are the mean of what each rank computes alone.

    The ranks are two threads, each with a copy of the strategy, at ``p = 1`` where it has one, so that nothing is pickled and
    no process is started. 1e-7 between the ranks, 1e-6 on gradients of order 1: they are added up in another order.
    """
    see(strategy)
    together, alone, drawn = gradients_on_two_ranks(strategy)
    demand_close(together[0], together[1], 1e-7, "gradients of the two ranks")
    demand_close(together[0], (alone[0] + alone[1]) / 2, 1e-6, "gradient against the mean of the references")
    demand(not torch.equal(drawn[0], drawn[1]), "both ranks drew the same")


def _anatomy(model: nn.Module) -> dict[str, object]:
    hooks = {
        f"{name}.{kind}": len(getattr(module, kind))
        for name, module in model.named_modules()
        for kind in vars(module)
        if "hooks" in kind and getattr(module, kind) is not None
    }
    return {"hooks": hooks, "training": model.training, "state": {k: v.tolist() for k, v in model.state_dict().items()}}
