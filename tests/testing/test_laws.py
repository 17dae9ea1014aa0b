"""Every law over everything in the registry; FEATMIX_EXAMPLES says how many inputs a law is tried on."""

import os

import pytest
import torch

from featmix.testing import every_default, every_normalizer, every_strategy, laws, parametrize_with_checks

EXAMPLES = int(os.environ.get("FEATMIX_EXAMPLES", "200"))
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@parametrize_with_checks(every_default(), examples=EXAMPLES, dtypes=DTYPES)
def test_defaults(check):
    check()


@parametrize_with_checks(
    every_strategy(), examples=-(-EXAMPLES // 12), dtypes=(torch.float32, torch.float16), kinds=("strategy",)
)
def test_every_setting(check):
    check()


@parametrize_with_checks(every_normalizer(), examples=-(-EXAMPLES // 8), dtypes=DTYPES)
def test_normalizers(check):
    check()


@pytest.mark.parametrize("law", laws(), ids=lambda law: law.name)
def test_a_law_says_what_it_demands(law):
    assert law.statement.endswith(".")
    assert law.statement[0].isupper() or law.statement.startswith("denormalize") or law.statement.startswith("channels_last")
