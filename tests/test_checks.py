import numpy as np
import pytest

from featmix import checks, schedule
from featmix.checks import Checks
from featmix.errors import FeatmixError


@pytest.mark.parametrize("value", [2, 2**63 - 1, np.int32(2)])
def test_whole_numbers(value):
    assert checks.whole("me", "count", value) == value
    assert type(checks.whole("me", "count", value)) is int


@pytest.mark.parametrize("value", [True, -1, 1.0, "1", None, 2**63])
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(FeatmixError, match="me: count: expected a whole number"):
        checks.whole("me", "count", value)


def test_numbers_in_a_range_and_schedules():
    assert checks.in_range("me", "p", 1, 0, 1) == 1.0
    line = schedule.linear(0, 1)
    assert checks.scheduled("me", "p", line, 0, 1) is line
    assert checks.scheduled("me", "p", 0.5, 0, 1) == 0.5
    for value in (True, 1.5, float("nan"), "0.5", schedule.linear(0, 2)):
        with pytest.raises(FeatmixError, match=r"me: p: expected a (number|schedule that stays) in \[0, 1\]"):
            checks.scheduled("me", "p", value, 0, 1)


def test_words_and_flags():
    assert checks.one_of("me", "per", "batch", ("batch", "sample")) == "batch"
    assert checks.flag("me", "detach", False) is False
    with pytest.raises(FeatmixError, match="me: per: expected one of batch, sample, got 'row'"):
        checks.one_of("me", "per", "row", ("batch", "sample"))
    with pytest.raises(FeatmixError, match="me: detach: expected True or False, got 1"):
        checks.flag("me", "detach", 1)


def test_methods_speak_in_the_name_of_their_class_and_keep_the_choices():
    class Mine(Checks):
        def __init__(self, per):
            self.per = self._one_of("per", per, ("batch", "sample"))

    assert vars(Mine("batch"))["_choices"] == {"per": ("batch", "sample")}
    with pytest.raises(FeatmixError, match="Mine: per: expected one of batch, sample"):
        Mine("row")
