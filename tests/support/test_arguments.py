"""Arguments that a function does not take are refused in words, and its signature stays as it is."""

import inspect

import pytest
import torch

import featmix as fm
from featmix import FeatmixError
from featmix.strategies.settings import explained, usual_settings
from featmix.support.arguments import helpful


@helpful("fade", {"target": "It is called y."}, write="fade(x, y)")
def fade(x, y=1, *, lam=0.9):
    """Documented."""
    return x, y, lam


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: fade(1, lamb=2), "fade: lamb: expected one of its arguments: x, y, lam, got 'lamb'. Did you mean 'lam'?"),
        (lambda: fade(1, target=2), "fade: target: expected one of its arguments: x, y, lam, got 'target'. It is called y."),
        (lambda: fade(1, zzz=2), "fade: zzz: expected one of its arguments: x, y, lam, got 'zzz'."),
        (lambda: fade(1, 2, 3), "fade: expected at most 2 arguments without a name, got 3. Write fade(x, y)."),
        (lambda: fade(), "fade: x: expected a value, got none. Write fade(x, y)."),
    ],
)
def test_what_is_refused(call, said):
    with pytest.raises(FeatmixError) as refused:
        call()
    assert str(refused.value) == said


def test_what_is_taken_goes_through():
    assert fade(1) == (1, 1, 0.9)
    assert fade(x=1, y=2, lam=3) == (1, 2, 3)
    assert fade.__doc__ == "Documented."
    assert str(inspect.signature(fade)) == "(x, y=1, *, lam=0.9)"
    assert list(inspect.signature(fm.Mixer.draw).parameters)[:3] == ["self", "images", "target"]
    assert next(iter(inspect.signature(fm.Mixup).parameters)) == "alpha"
    codes = [fm.Mixer.draw.__code__, fm.Mix.loss.__code__, fade.__code__]
    assert len({id(code) for code in codes}) == len(codes)  # what a compiler is told of one it is not told of the others


def test_errors_from_inside_are_not_touched():
    @helpful("fails")
    def fails(x):
        raise TypeError("its own")

    with pytest.raises(TypeError, match="its own"):
        fails(1)


class Own(fm.Strategy):
    """Takes whatever it is given."""

    def __init__(self, **anything):
        self.given = anything
        super().__init__()


class Plain(fm.Strategy):
    """Without a constructor of its own."""


class Narrow(fm.Strategy):
    """Passes settings on."""

    def __init__(self, share=0.5, **common):
        super().__init__(**common)
        self.share = share


def test_strategies_of_ones_own():
    assert Own(alpha=1).given == {"alpha": 1}
    for call, said in (
        (lambda: Plain(0.5), "Plain: p: expected settings by name, got 0.5 without a name. Write Plain(p=0.5)."),
        (
            lambda: Plain(prob=0.5),
            "Plain: prob: expected a setting of this strategy, got 'prob'. Did you mean 'p'? Write Plain(",
        ),
        (lambda: Narrow(0.5, 0.5), "Narrow: expected settings by name, got 0.5 without a name."),
        (lambda: Narrow(shar=0.5), "Did you mean 'share'? Write Narrow(share=0.5)."),
        (lambda: Plain(torch.rand(2, 3)), "Plain: expected settings by name, got a batch."),
    ):
        with pytest.raises(FeatmixError) as refused:
            call()
        assert said in str(refused.value)
    assert usual_settings(Narrow)["share"] == 0.5

    def anything(self, *given):
        pass

    assert explained(anything) is anything
    with pytest.raises(TypeError, match="multiple values"):
        fm.MoEx("pono", norm="in")
