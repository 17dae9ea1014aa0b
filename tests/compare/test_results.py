import dataclasses

import pytest

from featmix.compare.contenders import contender
from featmix.compare.results import COLUMNS, Row, append_row, one_line, read_rows, to_line, write_rows
from featmix.compare.training import Run
from featmix.errors import FeatmixError, FeatmixWarning

GOOD = Row("moex", "lam=0.5,norm=in", "stem", 1, "plain", 0.9, 0.5, 0.1, 0.0123456789)
ALONE = Row("none", "", "", 0, "", 0.9, None, 0.1, 0.01)
FAILED = Row("mixup", "", "input", 2, "colors", error='RuntimeError: "quoted", with a comma')


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.csv"


def test_rows_come_back_as_they_went(path):
    write_rows(path, [GOOD, ALONE, FAILED])
    assert read_rows(path) == [GOOD, ALONE, FAILED]
    assert tuple(path.read_text().splitlines()[0].split(",")) == COLUMNS


def test_a_row_is_as_exact_as_the_file():
    assert GOOD.seconds_per_step == 0.012346


@pytest.mark.parametrize("text", ["moex/imagenet-resnet50", "cutmix:p=0.5+moex@layer1:norm=in,lam=0.8", "cutmix+moex"])
def test_presets_and_combinations_come_back(path, text):
    row = Run(contender(text), 1, "plain").row()
    write_rows(path, [row])
    assert read_rows(path) == [row]
    assert row.label == contender(text).label


def test_no_file_has_no_rows(path):
    assert read_rows(path) == []
    path.write_text("")
    assert read_rows(path) == []


def test_wherever_the_last_line_is_torn_the_others_are_kept(path):
    write_rows(path, [GOOD, ALONE])
    whole = path.read_bytes()
    last = to_line(dataclasses.replace(GOOD, held_out="räume")).encode()
    for length in range(len(last)):
        path.write_bytes(whole + last[:length])
        assert read_rows(path) == [GOOD, ALONE]


def test_the_last_row_of_a_run_wins(path):
    good = dataclasses.replace(FAILED, in_domain_accuracy=0.5, error="")
    write_rows(path, [FAILED, GOOD])
    with path.open("a", newline="") as file:
        append_row(file, good)
    assert set(read_rows(path)) == {GOOD, good}


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "\xff\n", "x" * 200_000 + "\n", "\n"])
def test_foreign_files_are_refused(path, text):
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(FeatmixError, match="--fresh"):
        read_rows(path)


BAD = [
    "moex,,stem,x,,,,,,",
    "1,2",
    ",,stem,0,,,,,,",
    "moex:a,,stem,0,,,,,,",
    "moex,,st:em,0,,,,,,",
    "moex,,stem,-1,,,,,,",
    "moex,,stem,１,,,,,,",
    "moex,,stem,1_0,,,,,,",
    "moex,,stem," + "9" * 5000 + ",,,,,,",
    "moex,,stem,0,,nan,,,,",
    "moex,,stem,0,,inf,,,,",
    "moex,,stem,0,,1.5,,,,",
    "moex,,stem,0,,-0.5,,,,",
    "moex,,stem,0,,０.５,,,,",
    "moex,,stem,0,,0.5,,,1e300,",
    'moex,,stem,0,,,,,,"torn',
    'moex,"a"b,stem,0,,,,,,',
    "moex," + "x" * 200_000 + ",stem,0,,,,,,",
    "moex,,stem,0,,,,,,\x00,",
    "moex,,stem,0,pl\rain,,,,,",
]


@pytest.mark.parametrize("line", [*(line.encode() for line in BAD), b"moex,,stem,0,\xff,,,,,"], ids=range(len(BAD) + 1))
def test_a_line_that_is_no_run_is_set_aside_and_the_others_are_kept(path, line):
    """One bad line used to be in the way of all others, for ever."""
    write_rows(path, [GOOD])
    path.write_bytes(path.read_bytes() + line + b"\n" + to_line(ALONE).encode())
    with pytest.warns(FeatmixWarning, match=r"runs\.csv: line 3 is no run and set aside: ") as caught:
        assert read_rows(path) == [GOOD, ALONE]
    assert len(caught) == 1
    assert str(caught[0].message).isprintable()
    assert len(str(caught[0].message)) < 700


def test_many_bad_lines_are_counted(path):
    write_rows(path, [GOOD])
    path.write_bytes(path.read_bytes() + b"x\n" * 100)
    with pytest.warns(FeatmixWarning) as caught:
        assert read_rows(path) == [GOOD]
    assert len(caught) == 6
    assert "so are 95 more lines" in str(caught[-1].message)


def test_messages_fit_a_cell():
    assert "\n" not in one_line("a\nb" * 500)
    assert len(one_line("a\nb" * 500)) == 400
