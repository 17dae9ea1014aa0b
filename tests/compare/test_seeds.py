import pytest

from featmix.compare.seeds import chosen_seeds
from featmix.errors import FeatmixError


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (2, (0, 1)),
        ("2", (0, 1)),
        ("7-9", (7, 8, 9)),
        (" 0, 3,5-6 ", (0, 3, 5, 6)),
        ("3-3", (3,)),
        ("4,", None),
        (range(3, 5), (3, 4)),
        ([9], (9,)),
    ],
)
def test_how_many_or_which(given, meant):
    if meant is None:
        with pytest.raises(FeatmixError, match="how many, or which"):
            chosen_seeds(given)
    else:
        assert chosen_seeds(given) == meant


@pytest.mark.parametrize(
    "given", [0, -1, "0", "9-7", "1,1", "1-3,2", [], [1, 1], [-1], "x", "1-99999999", 10**9, 2.5, True, ["a"], None]
)
def test_others_are_refused(given):
    with pytest.raises(FeatmixError, match="seeds"):
        chosen_seeds(given)
