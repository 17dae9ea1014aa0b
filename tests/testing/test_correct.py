"""No law refuses what is right: strategies and normalizers in the styles in which other people write them."""

import pytest

from featmix.testing import check_normalizer, check_strategy, laws
from featmix.testing.draws import default_examples
from tests.correct import rights

pytestmark = pytest.mark.filterwarnings(r"ignore:var(_mean)?\(\):UserWarning")  # of one element, by correction=0

NIGHTLY = default_examples() > 200
EXAMPLES = default_examples() if NIGHTLY else 6  # those chosen by hand begin with the ones that refuse most
SLOW = ("compile_again",)  # of some, inside a model, as well


def refused(records):
    return [record.message for record in records if record.status not in ("passed", "skipped")]


@pytest.mark.parametrize("one", [one for one in rights if one.kind == "strategy"], ids=lambda one: one.name)
def test_strategies(one):
    quick = [law.name for law in laws("strategy") if not law.of_draws and law.name not in SLOW]
    chosen = None if NIGHTLY else quick  # nearly all draw as featmix does
    kinds = ("strategy", "attached") if NIGHTLY else ("strategy",)
    records = check_strategy(one.make(), only=chosen, examples=EXAMPLES, kinds=kinds, on_fail=None)
    assert not refused(records), "\n".join(refused(records))
    assert sum(record.status == "passed" for record in records) >= 8


@pytest.mark.parametrize("one", [one for one in rights if one.attached], ids=lambda one: one.name)
def test_strategies_inside_a_model(one):
    chosen = [law.name for law in laws("attached", "strategy") if law.kind == "attached" or law.of_draws or law.name in SLOW]
    records = check_strategy(one.make(), only=chosen, on_fail=None)
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
    assert len({(kind, one.name) for kind, one in zip(kinds, rights, strict=True)}) == len(rights)
    assert all(one.style for one in rights)
