"""Laws that a normalizer or a strategy should keep, ours or yours, as property tests. Needs hypothesis."""

try:
    import hypothesis as _hypothesis  # noqa: F401
except ModuleNotFoundError as error:
    from featmix.support.extras import pip_install as _pip_install

    message = f"featmix.testing needs hypothesis: {_pip_install('featmix[testing]')}"
    raise ModuleNotFoundError(message, name=error.name) from None

from featmix.testing.adapters import adapt, from_function, from_mixer, from_normalizer, from_torch_norm
from featmix.testing.check import check_normalizer, check_strategy, parametrize_with_checks
from featmix.testing.inputs import features, features_for, normalizers, params_for, strategies, targets
from featmix.testing.instances import every_default, every_normalizer, every_strategy
from featmix.testing.law import Case, Law, LawError, laws
from featmix.testing.plugin import featmix_laws
from featmix.testing.records import Record
from featmix.testing.reproducing import reproduce
from featmix.testing.runner import run_law

__all__ = [
    "Case",
    "Law",
    "LawError",
    "Record",
    "adapt",
    "check_normalizer",
    "check_strategy",
    "every_default",
    "every_normalizer",
    "every_strategy",
    "featmix_laws",
    "features",
    "features_for",
    "from_function",
    "from_mixer",
    "from_normalizer",
    "from_torch_norm",
    "laws",
    "normalizers",
    "parametrize_with_checks",
    "params_for",
    "reproduce",
    "run_law",
    "strategies",
    "targets",
]
