"""What a correct subject is, and the list of them, which fills itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from featmix.normalizers.base import Normalizer
from featmix.strategies.base import Strategy
from featmix.testing import adapt, from_function, from_normalizer


@dataclass(frozen=True)
class Right:
    """``style`` says what is unusual about it; ``make`` gives the subject as it is handed to a check."""

    name: str
    style: str
    make: Callable[[], Any]
    attached: bool

    @property
    def kind(self):
        return "normalizer" if isinstance(adapt(self.make()), Normalizer) else "strategy"


rights: list[Right] = []


def right(style, *, attached=False, **settings):
    """Decorator: a class is made with these settings; a function or a module goes through its adapter, with these.

    ``attached``: it meets the laws inside a model too; one of each sort does, for they take seconds.
    """

    def decorate(one):
        rights.append(Right(one.__name__, style, lambda: _made(one, settings), attached))
        return one

    return decorate


def _made(one, settings):
    if not isinstance(one, type):
        return from_function(one, **settings) if settings else one
    if issubclass(one, Strategy | Normalizer):
        return one(**settings)
    made = one()
    if isinstance(made, nn.Module) and "partner" in made.forward.__code__.co_varnames:
        return from_function(made, **settings) if settings else made
    return from_normalizer(made, **settings) if settings else made
