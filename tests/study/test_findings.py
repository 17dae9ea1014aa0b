"""Sentences say what the numbers say, and no more."""

import re
from dataclasses import replace

import numpy as np
import pytest

from featmix.compare.contenders import contenders
from featmix.compare.pairs import pairwise
from featmix.compare.results import Row
from featmix.compare.settings import resolve
from featmix.compare.sweeps import expanded
from study.findings import against_baseline, best, in_one
from study.parts import PARTS

SITES = {"none": "", "moex": "stem", "cutmix": "input"}


def rows(moex, cutmix, seeds=6):
    spread = np.random.default_rng(0).normal(0, 0.01, (3, seeds))
    levels = {"none": 0.6 + spread[0], "moex": 0.6 + moex + spread[1], "cutmix": 0.6 + cutmix + spread[2]}
    return [
        Row(name, "", SITES[name], seed, "a", 0.9, float(value), 0.1, 0.01)
        for name, values in levels.items()
        for seed, value in enumerate(values)
    ]


def test_what_differs_significantly_is_called_better_or_worse_and_the_rest_is_not():
    made = rows(0.1, 0.0)
    moex, cutmix = (one for one in against_baseline(made) if "held-out" in one)
    (pair,) = (one for one in pairwise(made) if {one.first, one.second} == {"none", "moex"})
    assert moex.startswith(f"moex against none in the held-out style: {-100 * pair.difference.mean:+.1f} ±")
    assert moex.endswith("better.")
    assert cutmix.endswith("not significant.")
    assert against_baseline(rows(-0.1, 0.0))[0].endswith("worse.")


@pytest.mark.parametrize(("moex", "like"), [(0.1, "all others differ significantly"), (0.0, "not differ significantly")])
def test_the_first_is_named_with_those_that_do_not_differ_from_it(moex, like):
    said = best(rows(moex, -0.2))
    assert like in said
    if moex:
        assert said.startswith("moex is highest in the held-out style")


def test_one_seed_says_nothing_of_differences():
    assert all(re.search("not significant|nothing", one) for one in against_baseline(rows(0.3, 0.3, seeds=1)))


@pytest.mark.parametrize("part", [part for part in PARTS if not part.is_probe], ids=lambda part: part.name)
def test_each_part_can_be_asked_for(part):
    resolve(part.settings)
    written, sweeps = expanded(part.strategies, part.site)
    found = contenders(written, None if sweeps else part.site)
    assert len(found) >= 3
    assert not part.against or part.against in [one.label for one in found]


def test_one_sentence_sorts_all_strategies():
    better, worse = in_one(rows(0.1, -0.2)).split("; ")
    assert re.fullmatch(r"Against none in the held-out style, in points: moex \+\d+\.\d ±\d\.\d is better", better)
    assert re.fullmatch(r"cutmix -\d+\.\d ±\d\.\d is worse\.", worse)
    assert in_one(rows(0.0, 0.0)).endswith("are not significantly different.")


def test_a_strategy_at_several_sites_is_named_with_its_site():
    at_stem = rows(0.1, 0.0)
    elsewhere = [replace(row, site="layer2") for row in at_stem if row.strategy == "moex"]
    named = in_one([*at_stem, *elsewhere])
    assert "moex@stem" in named
    assert "moex@layer2" in named
    assert "cutmix@" not in named
