import math
from collections import OrderedDict

import numpy as np
import pytest

from featmix import FeatmixError
from featmix.configuration.place import Place
from featmix.configuration.plain import DEEPEST, LARGEST_WHOLE, LONGEST_TEXT, MOST_ENTRIES, plain


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def test_what_is_plain_is_copied():
    given = {"a": [1, 2.5, None, True, "x", ()], "b": {"c": (1, (2,))}}
    copy = plain(given, Place("f"))
    assert copy == {"a": [1, 2.5, None, True, "x", []], "b": {"c": [1, [2]]}}
    assert copy["a"] is not given["a"]


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ({"a": [0, math.nan]}, "a[1]", "expected a finite number, got nan"),
        ({"a": -math.inf}, "a", "expected a finite number"),
        ({"a": LARGEST_WHOLE + 1}, "a", "at most 64 bits"),
        ({"a": -(10**5000)}, "a", "at most 64 bits"),
        ({"a": "x" * (LONGEST_TEXT + 1)}, "a", "at most 4096 characters"),
        ({"a": {"x" * (LONGEST_TEXT + 1): 1}}, "a", "at most 4096 characters"),
        ({"a": "one\ntwo"}, "a", "printable characters in one line"),
        ({"a": "\ud800"}, "a", "printable"),
        ({"a": {1: 2}}, "a", "expected text for keys, got 1"),
        ({"a": b"x"}, "a", "got bytes"),
        ({"a": np.float64(1)}, "a", "got float64"),
        ({"a": OrderedDict()}, "a", "got OrderedDict"),
        ({"a": {1, 2}}, "a", "got set"),
        ({"a": print}, "a", "got builtin_function_or_method"),
    ],
)
def test_what_is_not_is_refused_by_its_path(value, path, message):
    with pytest.raises(FeatmixError, match=message) as caught:
        plain(value, Place("f"))
    assert caught.value.argument == path


def test_depth_is_limited():
    assert plain(nested(DEEPEST), Place("f")) == nested(DEEPEST)
    with pytest.raises(FeatmixError, match="at most 48 levels"):
        plain(nested(DEEPEST + 1), Place("f"))


def test_circles_are_refused():
    for circle in ([], {}):
        if isinstance(circle, list):
            circle.append(circle)
        else:
            circle["again"] = circle
        with pytest.raises(FeatmixError, match="an entry that contains itself"):
            plain(circle, Place("f"))


def test_the_number_of_entries_is_limited_however_they_are_shared():
    ten = [0] * 10
    bomb = [[[[ten] * 10] * 10] * 10] * 10  # ten thousand lists, and a hundred thousand numbers, in fifty objects
    with pytest.raises(FeatmixError, match=f"at most {MOST_ENTRIES} entries"):
        plain(bomb, Place("f"))
