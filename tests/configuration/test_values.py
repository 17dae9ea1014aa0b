import numpy as np
import pytest

import featmix as fm
from featmix.configuration import values
from featmix.configuration.place import Place
from featmix.configuration.values import Codec, add_codec, built, check_names, faithfully, read, write

HERE = Place("f")


@pytest.mark.parametrize(
    ("value", "written", "again"),
    [
        ((1, [2.0]), [1, [2.0]], (1, (2.0,))),
        ({"a": (1,)}, {"a": [1]}, {"a": (1,)}),
        (np.float64(0.5), 0.5, 0.5),
        (np.int32(3), 3, 3),
        (np.bool_(True), True, True),
        ({1: "a", (2, 3): "b"}, {"entries": [[1, "a"], [[2, 3], "b"]]}, {1: "a", (2, 3): "b"}),
        ({"list": 1}, {"entries": [["list", 1]]}, {"list": 1}),
        ({"class": 1}, {"entries": [["class", 1]]}, {"class": 1}),
        ({}, {}, {}),
    ],
)
def test_values_come_back(value, written, again):
    assert repr(write(value, HERE)) == repr(written)
    assert repr(read(written, HERE)) == repr(again)


def test_lists_come_back_as_lists_where_that_is_asked_for():
    value = [1, (2, [3])]
    assert repr(read(write(value, HERE, exact=True), HERE)) == repr(value)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (object(), "a"),
        ([1, {2}], "a[1]"),
        ({"b": object}, "a.b"),
        ({1: object}, "a.entries[0][1]"),
        (float("nan"), "a"),
        (2**64, "a"),
        (np.ones(2), "a"),
        (1j, "a"),
        (b"x", "a"),
        (type("Text", (str,), {})("x"), "a"),
    ],
)
def test_what_cannot_be_written_is_refused_by_its_path(value, path):
    with pytest.raises(fm.FeatmixError) as caught:
        write(value, HERE.key("a"))
    assert caught.value.argument == path


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ({"list": 1}, "list", "expected a list, got 1"),
        ({"list": [], "more": 1}, "more", "expected list alone"),
        ({"entries": [[1]]}, "entries", "pairs of a key and a value"),
        ({"entries": [[{"a": 1}, 1]]}, "entries", "pairs of a key and a value, got unhashable"),
        ({"linear": {"start": 0, "end": 1}, "cosine": 1}, "cosine", "expected linear alone"),
        ([{"dtype": "float33"}], "[0].dtype.float33", "a dtype of torch"),
    ],
)
def test_tags_are_checked(value, path, message):
    with pytest.raises(fm.FeatmixError, match=message) as caught:
        read(value, HERE)
    assert caught.value.argument == path


def test_a_codec_of_ones_own(monkeypatch):
    monkeypatch.setattr(values, "_codecs", dict(values._codecs))
    add_codec(
        Codec(
            "range", lambda v: isinstance(v, range), lambda v, _: {"range": [v.start, v.stop]}, lambda v, _: range(*v["range"])
        )
    )
    assert write([range(2, 5)], HERE) == [{"range": [2, 5]}]
    assert read([{"range": [2, 5]}], HERE) == (range(2, 5),)


def test_what_a_constructor_refuses_is_refused_at_its_entry():
    def refusing(argument, got):
        def make(**_):
            raise fm.FeatmixError("Helper", argument, expected="more", got=got, fix="Give more.")

        return make

    settings = {"norm": "pomo", "eps": 1.0}
    for argument, got, path in [("eps", "0", "eps"), ("name", "'pomo'", "norm"), ("groups", "2", "")]:
        with pytest.raises(fm.FeatmixError, match=r"expected more, got .*\. Give more\.") as caught:
            built(refusing(argument, got), settings, HERE)
        assert caught.value.argument == path
    with pytest.raises(fm.FeatmixError) as caught:
        built(refusing("eps", "0"), settings, HERE, names={"eps": "epsilon"})
    assert caught.value.argument == "epsilon"
    with pytest.raises(fm.FeatmixError, match=r"expected what Dropout can be made with, got TypeError: .*'x'"):
        built(__import__("torch").nn.Dropout, {"x": 1}, HERE)


def test_names_are_checked_and_the_nearest_named():
    check_names(["a"], ["a", "b"], HERE, "a letter")
    with pytest.raises(fm.FeatmixError, match=r"f: alhpa: expected a letter, got 'alhpa'\. Did you mean 'alpha'\?"):
        check_names(["alhpa"], ["alpha"], HERE, "a letter")


class Rounded:
    def __init__(self, value):
        self.value = round(value)


def test_only_what_can_be_made_again_is_written():
    def write_it(_):
        return {"value": 2.6}

    def read_it(given, _):
        return Rounded(given["value"])

    assert faithfully(Rounded(3), HERE, write_it, read_it) == {"value": 2.6}
    with pytest.raises(fm.FeatmixError, match=r"a Rounded that can be made again .* got one with another value"):
        faithfully(Rounded(4), HERE, write_it, read_it)
