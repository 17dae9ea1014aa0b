"""Laws that a normalizer or a strategy should keep, ours or yours, as property tests. Needs hypothesis."""

from featmix.testing.check import Record, check_normalizer, check_strategy, parametrize_with_checks, run_law
from featmix.testing.inputs import features
from featmix.testing.instances import every_default, every_normalizer, every_strategy
from featmix.testing.law import Case, Law, LawError, laws

__all__ = [
    "Case",
    "Law",
    "LawError",
    "Record",
    "check_normalizer",
    "check_strategy",
    "every_default",
    "every_normalizer",
    "every_strategy",
    "features",
    "laws",
    "parametrize_with_checks",
    "run_law",
]
