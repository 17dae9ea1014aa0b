"""Faults of round trips: a copy, a pickle, the settings or a file give back another strategy."""

import copy
from typing import ClassVar

from featmix.normalizers.kinds import GN, IN
from featmix.strategies.cutmix import CutMix
from featmix.strategies.mixup import Mixup
from featmix.strategies.moex import MoEx
from tests.broken.fault import fault


@fault("pickles as one with the usual alpha", refused_by="pickles", alpha=0.2)
class PicklesTheUsual(Mixup):
    def __reduce__(self):
        return type(self), ()


@fault("leaves its probability out of its state", refused_by="pickles", p=0.5)
class StateWithoutP(Mixup):
    def __getstate__(self):
        state = dict(vars(self))
        state["p"] = 1.0
        return state


@fault("cannot be made again from its pickle", refused_by="pickles", crashes=True)
class PickledForNothing(Mixup):
    def __reduce__(self):
        return type(self), (), {"weights": None}

    def __setstate__(self, state):
        raise KeyError("alpha")


@fault("keeps its strength in a table by its own id, which a copy does not have", refused_by="copies", alpha=0.2)
class KeptById(Mixup):
    table: ClassVar[dict] = {}

    def __init__(self, **settings):
        super().__init__(**settings)
        self.table[id(self)] = self.alpha

    def decide(self, shape, draw):
        kept, self.alpha = self.alpha, self.table.get(id(self), 1.0)
        params = super().decide(shape, draw)
        self.alpha = kept
        return params


@fault("is its own copy", refused_by="copies")
class IsItsOwnCopy(Mixup):
    def __deepcopy__(self, memo):
        return self


@fault("a copy shares its settings with the original", refused_by="copies")
class SharesWithItsCopy(Mixup):
    def __deepcopy__(self, memo):
        twin = object.__new__(type(self))
        object.__setattr__(twin, "__dict__", vars(self))
        return twin


@fault("a copy mixes each row by itself, whatever the original does", refused_by="copies", lam_per="batch")
class CopyOfAnother(Mixup):
    def __deepcopy__(self, memo):
        twin = copy.copy(self)
        twin.lam_per = "sample"
        return twin


@fault("rounds a setting for the eye, and computes with the other", refused_by="settings", alpha=0.123)
class RoundsSettings(Mixup):
    def settings(self):
        return {**super().settings(), "alpha": round(self.alpha, 1)}


@fault("keeps an argument under another name: settings and print break down", refused_by="settings", crashes=True, mirror=True)
class RenamesArguments(MoEx):
    def __init__(self, *, mirror=False, **settings):
        super().__init__(**settings)
        self._mirror = mirror


@fault("its settings are those of its class, whatever it was made with", refused_by="settings", lam=0.5)
class SettingsOfTheClass(MoEx):
    def settings(self):
        return MoEx().settings()


@fault("takes per cent, and keeps the fraction under the same name", refused_by="settings", percent=50)
class PerCent(Mixup):
    def __init__(self, *, percent=100, **settings):
        super().__init__(p=percent / 100, **settings)
        self.percent = percent / 100

    @classmethod
    def setting_names(cls):
        return ["percent", *(name for name in Mixup.setting_names() if name != "p")]


STEPS = [0.1, 0.9]


@fault("knows a list of strengths by its place in memory", refused_by="configuration", steps=STEPS)
class KnowsItsList(CutMix):
    def __init__(self, *, steps=(), **settings):
        super().__init__(**settings)
        self.steps = steps

    def decide(self, shape, draw):
        kept, self.alpha = self.alpha, self.steps[0] if self.steps is STEPS else self.alpha
        params = super().decide(shape, draw)
        self.alpha = kept
        return params


BOLD = "bold"  # as long as it is written in code, equal words are one object


@fault("compares a word with is, which one from a file is not", refused_by="configuration", mode=BOLD)
class ComparesByIdentity(MoEx):
    def __init__(self, *, mode="shy", **settings):
        super().__init__(**settings)
        self.mode = mode

    def decide(self, shape, draw):
        kept, self.lam = self.lam, 0.5 if self.mode is BOLD else self.lam
        params = super().decide(shape, draw)
        self.lam = kept
        return params


@fault("pickles without its divisor", refused_by="normalizer_round_trip", unbiased=False)
class PicklesUnbiased(IN):
    def __reduce__(self):
        return type(self), (self.layout, self.eps)


@fault("a copy has one group", refused_by="normalizer_round_trip", groups=2)
class CopyHasOneGroup(GN):
    def __deepcopy__(self, memo):
        return type(self)(self.layout, self.eps, self.unbiased, self.positive_only, 1)
