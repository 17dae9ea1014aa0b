"""How many operations a step costs on the host, as the dispatcher counts them: the same on every machine."""

from collections import defaultdict

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import featmix as fm

SHAPE, CLASSES = (8, 16, 8, 8), 10
X = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
Y = torch.arange(8) % CLASSES

# make_params, transform, its backward, draw of one leaf, draw of two, loss. A new strategy gets the first row.
STEPS = ("make_params", "transform", "backward", "draw of one", "draw of two", "loss")
DEFAULT = (12, 26, 20, 14, 26, 10)
LIMITS = {
    "crossnorm": (12, 16, 20, 14, 20, 10),
    "csu": (14, 98, 90, 17, 26, 10),
    "cutmix": (12, 12, 12, 12, 24, 10),
    "dsu": (14, 56, 70, 16, 24, 10),
    "efdmix": (12, 28, 14, 14, 20, 10),
    "fmix": (12, 10, 56, 12, 24, 10),
    "manifold-mixup": (12, 8, 6, 12, 22, 10),
    "mixstyle": (12, 22, 12, 14, 20, 10),
    "mixup": (12, 8, 6, 12, 22, 10),
    "moex": (12, 16, 20, 12, 22, 10),
    "mosaic": (12, 40, 20, 14, 26, 10),
    "padain": (12, 18, 18, 14, 20, 10),
    "patchup": (14, 20, 12, 14, 30, 12),
    "resizemix": (12, 66, 22, 12, 24, 10),
}
FOLLOWED = 166  # more for two at two sites that mix labels by place: shares are followed position by position
GOALS = {"moex": 14, "mixstyle": 24, "mixup": 24, "cutmix": 36}  # of make_params: no row of the table may pass them


class Operations(TorchDispatchMode):
    """Counts what the dispatcher sees."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, _types, args=(), kwargs=None):
        self.names.append(str(function.overloadpacket))
        return function(*args, **(kwargs or {}))


def counted(call):
    """What the call returns, and how many operations it took."""
    with Operations() as operations:
        result = call()
    return result, len(operations.names)


def of_a_decision(name, most):
    """The strategy by itself. A draw may take more operations or fewer, so that the most of several count."""
    strategy = fm.create(name, p=1.0)
    for seed in range(6):
        generator = torch.Generator().manual_seed(seed)
        params, made = counted(lambda generator=generator: strategy.make_params(SHAPE, generator=generator))
        x = X.clone().requires_grad_()
        y, acted = counted(lambda x=x, params=params: strategy.transform(x, params))
        _, back = counted(lambda x=x, y=y: torch.autograd.grad(y, x, torch.ones_like(y)))
        for step, count in (("make_params", made), ("transform", acted), ("backward", back - 1)):  # one makes the ones
            most[step] = max(most[step], count)


def of_a_mixer(name, most):
    """The strategy at one site, and at two."""
    model = nn.Sequential(nn.Identity(), nn.Identity(), nn.Flatten(), nn.Linear(16 * 64, CLASSES))
    for step, sites in (("draw of one", ["0"]), ("draw of two", ["0", "1"])):
        with fm.attach(model, {site: fm.create(name, p=1.0) for site in sites}, example=X, seed=0) as mixer:
            for _ in range(6):
                mix, drawn = counted(lambda mixer=mixer: mixer.draw(X, target=Y))
                output = model(X)
                _, lost = counted(lambda mix=mix, output=output: mix.loss(F.cross_entropy, output, Y))
                most[step], most["loss"] = max(most[step], drawn), max(most["loss"], lost)


@pytest.mark.parametrize("name", fm.list_strategies())
def test_a_step_takes_few_operations(name):
    most = defaultdict(int)
    of_a_decision(name, most)
    of_a_mixer(name, most)
    limits = dict(zip(STEPS, LIMITS.get(name, DEFAULT), strict=True))
    tags = fm.strategy_class(name).tags
    limits["draw of two"] += FOLLOWED * (tags.spatial and tags.mixes_labels)
    assert {step: f"{most[step]} > {limit}" for step, limit in limits.items() if most[step] > limit} == {}


@pytest.mark.parametrize("name", GOALS)
def test_limits_stay_within_the_goals(name):
    assert LIMITS.get(name, DEFAULT)[0] <= GOALS[name]


def test_limits_are_of_strategies_that_there_are():
    assert set(LIMITS) <= set(fm.list_strategies())
    assert all(len(row) == len(STEPS) for row in LIMITS.values())


def test_cutmix_at_the_input_and_moex_at_a_layer():
    """The combination of the MoEx paper."""
    model = nn.Sequential(nn.Conv2d(16, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, CLASSES))
    tree = {"input": fm.CutMix(p=1.0), "0": fm.MoEx("pono", p=1.0)}
    with fm.attach(model, tree, example=X, seed=0) as mixer:
        for _ in range(8):
            mix, drawn = counted(lambda: mixer.draw(X, target=Y))
            output = model(X)
            _, lost = counted(lambda mix=mix, output=output: mix.loss(F.cross_entropy, output, Y))
            assert drawn <= 60
            assert lost <= 10
