"""No law refuses what is right: strategies and normalizers in the styles in which other people write them."""

import pytest

from featmix.testing import check_normalizer, check_strategy
from featmix.testing.draws import default_examples
from tests.correct import rights

NIGHTLY = default_examples() > 200
EXAMPLES = default_examples() if NIGHTLY else 6  # those chosen by hand begin with the ones that refuse most


def refused(records):
    return [record.message for record in records if record.status not in ("passed", "skipped")]


@pytest.mark.parametrize("one", [one for one in rights if one.kind == "strategy"], ids=lambda one: one.name)
def test_strategies(one):
    kinds = ("strategy", "attached") if NIGHTLY else ("strategy",)
    records = check_strategy(one.make(), examples=EXAMPLES, kinds=kinds, on_fail=None)
    assert not refused(records), "\n".join(refused(records))
    assert sum(record.status == "passed" for record in records) >= 8


@pytest.mark.parametrize("one", [one for one in rights if one.attached], ids=lambda one: one.name)
def test_strategies_inside_a_model(one):
    records = check_strategy(one.make(), kinds=("attached",), on_fail=None)
    assert not refused(records), "\n".join(refused(records))


@pytest.mark.parametrize("one", [one for one in rights if one.kind == "normalizer"], ids=lambda one: one.name)
def test_normalizers(one):
    records = check_normalizer(one.make(), examples=EXAMPLES, on_fail=None)
    assert not refused(records), "\n".join(refused(records))
    assert sum(record.status == "passed" for record in records) >= 8


def test_there_are_many():
    kinds = [one.kind for one in rights]
    assert kinds.count("strategy") >= 40
    assert kinds.count("normalizer") >= 10
    assert len({one.name for one in rights}) == len({one.style for one in rights if one.style}) or len(rights) > 40
