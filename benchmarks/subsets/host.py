"""What a call costs on the host.

Tiny tensors, so that nothing but the fixed cost of a call is left: 8×16×8×8 with 10 classes, and a draw and a loss for 128
images of 3×16×16. Microseconds, and how many operations torch's dispatcher sees, which no machine changes (kernels for GPUs are
none). Every strategy at p = 1 draws (``make_params``), mixes by a decision made before (``transform``), goes back from there,
and does all of it with labels; beside it the published formulas and other libraries. A draw is also counted in calls of
``torch.randperm(128)``, measured in the same run. On a CUDA device the time is that of enqueueing, and a decision is sent
there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import featmix as fm
from benchmarks import peers
from benchmarks.device.clock import Clock
from benchmarks.formulas import duels
from benchmarks.operations import operations
from benchmarks.results import Row
from benchmarks.timing import Call, Stopwatch, Timing

SHAPE, CLASSES, IMAGES = (8, 16, 8, 8), 10, (128, 3, 16, 16)
DRAW = "draw for 128 samples"
Race = Callable[[Mapping[str, Call]], dict[str, Timing]]
missing: list[str] = []


def on_card() -> bool:
    """Enqueueing is measured where there is a device, and stands with its results."""
    return torch.cuda.is_available()


def rows(watch: Stopwatch) -> Iterator[Row]:
    """On the CPU, and on a device where there is one."""
    missing.clear()
    for device in ("cpu", "cuda") if on_card() else ("cpu",):
        race = racing(watch, torch.device(device))
        yield from draws(race, device)
        yield from _losses(race, device)
        names = fm.list_strategies()
        for name in names[:2] if watch.quick else names:
            yield from _strategy(name, race, device)
        yield from _formulas(race, device)
        yield from _peers(race, device)


def racing(watch: Stopwatch, device: torch.device) -> Race:
    """Seconds of calls in turns; on a device, those of enqueueing them."""
    if device.type == "cpu":
        return replace(watch, seconds=min(watch.seconds, 0.1)).race
    clock = Clock(device, seconds=0.001 if watch.quick else 0.02)
    return lambda calls: {who: pace.host for who, pace in clock.race(calls).items()}


def draws(race: Race, device: str) -> Iterator[Row]:
    """Of one strategy at a layer, and of two, with the way to the device."""
    for what, tree in {
        "moex at a layer": {"0": fm.MoEx("pono")},
        "cutmix at the input and moex at a layer": {"input": fm.CutMix(), "0": fm.MoEx("pono")},
    }.items():
        _, images, labels, mixer = _attached(tree, device)

        def draw(mixer: fm.Mixer = mixer, images: Tensor = images, labels: Tensor = labels) -> None:
            mixer.draw(images, target=labels)
            mixer.discard()

        found = race({"draw": draw, "randperm": lambda: torch.randperm(128)})
        labels_of = {"draw": DRAW, "strategies": what, "on": device}
        values = {
            "µs": 1e6 * found["draw"].median,
            "operations": operations(draw),
            "randperm(128)s": found["draw"].median / found["randperm"].median,
        }
        yield Row(labels_of, values, found)
        mixer.remove()


def _losses(race: Race, device: str) -> Iterator[Row]:
    net, images, labels, mixer = _attached({"input": fm.CutMix(), "0": fm.MoEx("pono")}, device)
    mix = mixer.draw(images, target=labels)
    output = net(images).detach()
    calls: dict[str, Call] = {
        "mix.loss": lambda: mix.loss(F.cross_entropy, output, labels),
        "cross entropy alone": lambda: F.cross_entropy(output, labels),
    }
    yield from _timed(race, "loss", "cutmix and moex", calls, device)
    mixer.remove()


def _strategy(name: str, race: Race, device: str) -> Iterator[Row]:
    strategy = fm.create(name, p=1.0, num_classes=CLASSES)
    x, labels = torch.randn(SHAPE, device=device), torch.randint(CLASSES, SHAPE[:1], device=device)
    params = strategy.make_params(SHAPE).to(device)
    where = None if device == "cpu" else device
    yield from _timed(race, "make_params", name, {"featmix": lambda: strategy.make_params(SHAPE, device=where)}, device)
    yield from _there_and_back(race, name, {"featmix": lambda z: strategy.transform(z, params)}, x, device)
    yield from _timed(race, "strategy(x, target)", name, {"featmix": lambda: strategy(x, labels)}, device)


def _formulas(race: Race, device: str) -> Iterator[Row]:
    x = torch.randn(SHAPE, device=device)
    for duel in duels(SHAPE, labels_too=True, device=device):
        yield from _there_and_back(race, duel.name, {"formula": duel.formula}, x, device)


def _there_and_back(
    race: Race, name: str, layers: Mapping[str, Callable[[Tensor], Tensor]], x: Tensor, device: str
) -> Iterator[Row]:
    yield from _timed(race, "transform", name, {who: lambda f=f: f(x) for who, f in layers.items()}, device)
    leaf, weight = x.clone().requires_grad_(), torch.randn_like(x)
    results = {who: layer(leaf) for who, layer in layers.items()}
    if not all(result.requires_grad for result in results.values()):
        return
    back = {who: lambda y=y: torch.autograd.grad(y, leaf, weight, retain_graph=True) for who, y in results.items()}
    yield from _timed(race, "backward of transform", name, back, device)


def _peers(race: Race, device: str) -> Iterator[Row]:
    labels = torch.randint(CLASSES, SHAPE[:1], device=device)
    for method in ("mixup", "cutmix"):
        for who, make in {"torchvision": peers.torchvision, "timm, in place": peers.timm_in_place}.items():
            batch = torch.randn(SHAPE[0], 3, *SHAPE[2:], device=device)
            try:
                mixing = make(method, CLASSES)
            except ImportError as error:
                missing.append(f"{who}: {error}")
                continue
            calls = {who: lambda mixing=mixing, batch=batch: mixing(batch, labels)}
            yield from _timed(race, "strategy(x, target)", method, calls, device)


def _timed(race: Race, call: str, strategy: str, calls: Mapping[str, Call], device: str) -> Iterator[Row]:
    found = race(calls)
    for who, each in calls.items():
        values = {"µs": 1e6 * found[who].median, "operations": operations(each)}
        yield Row({"call": call, "strategy": strategy, "who": who, "on": device}, values, {who: found[who]})


def _attached(tree: Mapping[str, fm.Strategy], device: str) -> tuple[nn.Module, Tensor, Tensor, fm.Mixer]:
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, CLASSES)).to(
        device
    )
    images, labels = torch.randn(IMAGES, device=device), torch.randint(CLASSES, IMAGES[:1], device=device)
    return net, images, labels, fm.attach(net, tree, example=images, seed=0)
