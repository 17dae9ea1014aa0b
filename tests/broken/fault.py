"""What a planted fault is, and how many inputs a law needs to refuse it."""

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from featmix.normalizers.base import Normalizer
from featmix.testing import LawError, laws, run_law


@dataclass(frozen=True)
class Fault:
    """A wrong strategy or normalizer.

    ``crashes``: the law meets an exception of the code itself instead of a wrong result. ``survives``: why no law can refuse
    it; then ``refused_by`` is empty.
    """

    cls: type
    settings: dict[str, Any]
    wrong: str
    refused_by: str
    dtype: torch.dtype
    crashes: bool
    survives: str

    @property
    def name(self):
        return self.cls.__name__

    @property
    def kind(self):
        return "normalizer" if issubclass(self.cls, Normalizer) else "strategy"

    def make(self):
        return self.cls(**self.settings)


class Refused(BaseException):
    """Goes past hypothesis, which would look for a smaller input."""


class UnplannedCrash(BaseException):
    """A fault that breaks down instead of being wrong would prove nothing about a law."""


faults: list[Fault] = []


def fault(wrong, *, refused_by="", dtype=torch.float32, crashes=False, survives="", **settings):
    """Class decorator: plant it, made with these settings."""

    def decorate(cls):
        faults.append(Fault(cls, settings, wrong, refused_by, dtype, crashes, survives))
        return cls

    return decorate


def regated(draw, active, partner=None):
    """The same draw with other gates, and with other partners where they are given."""
    chosen = draw.partner if partner is None else partner
    return replace(draw, active=active, partner=np.where(active, chosen, np.arange(len(draw))))


def untied(params):
    """The same decision with rows that are not active taking from the row before them."""
    before = torch.arange(len(params.partner)).roll(1)
    return replace(params, partner=torch.where(params.active, params.partner, before))


def law_named(name):
    return next(law for law in laws() if law.name == name)


def tried_until_refused(planted, law, *, examples=None, dtype=None):
    """How many inputs the law tried, the one that it refused included; None where it refused none."""
    subject, tried = planted.make(), 0

    @functools.wraps(law.check)
    def check(*arguments):
        nonlocal tried
        tried += 1
        try:
            law.check(*arguments)
        except LawError as error:
            raise Refused from error
        except Exception as error:
            if not planted.crashes:
                raise UnplannedCrash(f"{planted.name} crashes in {law.name!r}") from error
            raise Refused from error

    try:
        run_law(replace(law, check=check), subject, None if law.exact else dtype or planted.dtype, examples)
    except Refused:
        return tried
    return None
