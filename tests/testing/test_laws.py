"""Every law over everything in the registry; FEATMIX_EXAMPLES says how many inputs a law is tried on.

Each strategy with its defaults meets every law on all of them in float32, and in each other dtype on those chosen by hand;
each setting that changes what a strategy does meets it on a few of these. `make nightly` draws thousands.
"""

import pytest
import torch

from featmix.testing import every_default, every_normalizer, every_strategy, laws, parametrize_with_checks
from featmix.testing.corners import CORNERS
from featmix.testing.draws import default_examples

EXAMPLES = default_examples()
BY_HAND = len(CORNERS)
NIGHTLY = EXAMPLES > 200
OTHERS = (torch.float64, torch.bfloat16, torch.float16)
DEFAULT_DRAWS = {(one.name, setting): value for one in every_default() for setting, value in one.settings().items()}


def draws_otherwise(strategy, law):
    """Laws of draws alone are tried again only where a setting changes what is drawn."""
    changed = [name for name, value in strategy.settings().items() if value != DEFAULT_DRAWS[strategy.name, name]]
    if not law.drawn and not law.of_draws and not NIGHTLY:
        return False  # they try dozens of batches each: nightly on every setting, here on the defaults
    return not law.of_draws or bool({"p", "per", "partner", "lam_per"} & set(changed))


def published_otherwise(strategy):
    """FMix's published labels are the share that was drawn, not the one that the mask has."""
    if getattr(strategy, "labels", "") != "sampled":
        return {}
    reason = "label shares as drawn, by option: they differ from the content by less than a position"
    return dict.fromkeys(("labels_measure_content", "labels_at_scale", "full_mask", "dense_targets"), reason)


@parametrize_with_checks(every_default(), examples=EXAMPLES, dtypes=(torch.float32,))
def test_defaults(check):
    check()


@parametrize_with_checks(
    every_default(), examples=max(BY_HAND, EXAMPLES // 4), dtypes=OTHERS, kinds=("strategy",), where=lambda _, law: law.drawn
)
def test_defaults_in_other_dtypes(check):
    check()


@parametrize_with_checks(
    every_strategy(),
    examples=max(BY_HAND // 2, EXAMPLES // 20),
    dtypes=(torch.float32,),
    kinds=("strategy",),
    where=draws_otherwise,
    expected_failed_checks=published_otherwise,
)
def test_every_setting(check):
    check()


@parametrize_with_checks(every_normalizer(), examples=max(BY_HAND, EXAMPLES // 8), dtypes=(torch.float32,))
def test_normalizers(check):
    check()


@parametrize_with_checks(
    (one for one in every_normalizer() if one.layout is None or NIGHTLY),  # a layout says which axis is what, in any dtype
    examples=max(BY_HAND, EXAMPLES // 8),
    dtypes=OTHERS,
    where=lambda _, law: law.drawn,
)
def test_normalizers_in_other_dtypes(check):
    check()


@pytest.mark.parametrize("law", laws(), ids=lambda law: law.name)
def test_a_law_says_what_it_demands(law):
    assert law.statement.endswith(".")
    assert law.statement[0].isupper() or law.statement.startswith("denormalize") or law.statement.startswith("channels_last")
