import string
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from featmix import FeatmixError
from featmix.configuration import yaml_text
from featmix.configuration.place import Place
from featmix.configuration.plain import LARGEST_WHOLE
from featmix.configuration.yaml_text import emit, parse

AWKWARD = [
    "yes",
    "no",
    "on",
    "NULL",
    "~",
    "",
    "1e5",
    "1_000",
    "0x1F",
    "010",
    "12:30:10",
    "2020-01-01",
    ".nan",
    "-.inf",
    "<<",
    "=",
]
AWKWARD += [
    "a: b",
    "- x",
    "#x",
    " lead",
    "trail ",
    "[",
    "{}",
    "&a",
    "*a",
    "!t",
    "|",
    ">",
    "%",
    "@",
    "`",
    "'",
    '"',
    "?",
    "ü",
    "日",
]
texts = st.one_of(st.sampled_from(AWKWARD), st.text(string.ascii_letters + string.digits + " .:#-_'\"[]{}!&*%@äß", max_size=12))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-LARGEST_WHOLE, LARGEST_WHOLE),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=20
)


@given(values)
def test_what_is_written_is_read_again_by_us_and_by_others(value):
    text = emit(value)
    assert repr(parse(text, Place("f"))) == repr(value)  # repr tells 1 from 1.0 and from True
    assert repr(yaml.safe_load(text)) == repr(value)


@given(values)
def test_the_parser_in_python_reads_the_same(value):
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(yaml, "CSafeLoader", raising=False)
        assert repr(parse(emit(value), Place("f"))) == repr(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("-1.", -1.0),
        (".5", 0.5),
        ("+3", 3),
        ("yes", "yes"),
        ("no", "no"),
        ("0o17", "0o17"),
        ("010", 10),
        ("'1'", "1"),
        ("Null", None),
        ("TRUE", True),
        ("{0: {no: 1}}", {"0": {"no": 1}}),
        ("%YAML 1.2\n---\na: 1", {"a": 1}),
        ("\ufeffa: 1", {"a": 1}),
        ("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text, value):
    assert repr(parse(text, Place("f"))) == repr(value)


@pytest.mark.parametrize("in_c", [True, False], ids=["libyaml", "python"])
@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("a: [1, &x 2]", "a[1]", "no anchors and no aliases"),
        ("a: &x [1]\nb: *x", "a", "no anchors and no aliases"),
        ("a: [*x]", "a[0]", "no anchors and no aliases"),
        ("&x a: 1", "", "plain text for keys"),
        (
            "a: !!python/object/apply:os.system ['touch x']",
            "a",
            "no tags, got .*python/object/apply:os.system",
        ),
        ("a: !!python/name:os.system ''", "a", "no tags"),
        ("a: !!int 3", "a", "no tags"),
        ("a: !mine 3", "a", "no tags"),
        ("a: ! 3", "a", "no tags"),
        ("!!map {a: 1}", "", "no tags"),
        ("a: 1\nb: 2\na: 3", "a", "each key once"),
        ("{0: 1, '0': 2}", "['0']", "each key once"),
        ("? [1]\n: 2", "", "plain text for keys"),
        ("? {a: 1}\n: 2", "", "plain text for keys"),
        ("a: .nan", "a", "a finite number"),
        ("a: -.Inf", "a", "a finite number"),
        ("a: 123456789012345678901", "a", "at most 64 bits, got one of 21 digits"),
        ("--- 1\n--- 2", "", "one document"),
        ("", "", "an empty file"),
        ("# nothing", "", "an empty file"),
        ("a: [", "", "expected YAML"),
        ("a: {b: 1", "", "expected YAML"),
        ("a:\n\t- 1", "", "expected YAML"),
        ("a: 'x", "", "expected YAML"),
        ('a: "\\UFFFFFFFF"', "", "expected YAML"),
        ("a: \x00", "", "expected YAML"),
        ('a: "\\0"', "a", "printable"),
        ('a: "x\\ny"', "a", "printable"),
        ("a: |\n  x\n  y\n", "a", "printable"),
        ("[" * 60 + "]" * 60, "[0]" * 49, "at most 48 levels"),
        ("{a: " * 60 + "}" * 60, ".".join("a" * 49), "at most 48 levels"),
        ("[" * 100_000, "[0]" * 49, "at most 48 levels"),
    ],
)
def test_refusals(monkeypatch, in_c, text, path, message):
    if not in_c:
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    with pytest.raises(FeatmixError, match=message) as caught:
        parse(text, Place("f"))
    assert caught.value.argument == path


def test_a_mistake_in_yaml_is_found_by_its_line():
    with pytest.raises(FeatmixError, match="in line 3"):
        parse("a: 1\nb: 2\nc: ]\n", Place("f"))


def test_without_pyyaml_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(FeatmixError, match=r"expected yaml to be installed.*featmix\[pipeline\]"):
        yaml_text.parse("a: 1", Place("f"))
