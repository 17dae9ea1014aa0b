import json
import warnings

import pytest

from featmix.compare.output import OutputFolder, cores, machine, versions
from featmix.compare.results import Row
from featmix.errors import FeatmixError, FeatmixWarning

SETTINGS = {"data": "digits", "epochs": 3, "limit": None}
ROW = Row("none", "", "", 0, "plain", 0.9, 0.5, 0.1, 0.01)


@pytest.fixture
def used(tmp_path):
    """A folder with one run in it."""
    with OutputFolder(tmp_path / "deep" / "out") as folder:
        assert folder.begin(SETTINGS) == []
        folder.keep([])
        folder.append(ROW)
        folder.close_call({"runs": 1, "seconds": 2.0, "jobs": 1})
    return folder.path


def test_the_same_settings_go_on(used):
    with OutputFolder(used) as folder:
        assert folder.begin(SETTINGS) == [ROW]
        assert folder.calls == [{"runs": 1, "seconds": 2.0, "jobs": 1}]
        assert len(folder.close_call({"runs": 0, "seconds": 1.0, "jobs": 1})) == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epochs": 4}, r"epochs: expected epochs = 3, as for the runs in .*, got epochs = 4.*--out.*1 run.*--fresh"),
        ({"epochs": 4, "data": "x"}, "data, epochs: expected data = digits, epochs = 3"),
        ({"limit": 5}, "limit = None.*limit = 5"),
        ({"new": 1}, "new = None.*new = 1"),
    ],
)
def test_a_changed_setting_is_refused_and_nothing_is_lost(used, changed, message):
    with OutputFolder(used) as folder, pytest.raises(FeatmixError, match=message):
        folder.begin({**SETTINGS, **changed})
    with OutputFolder(used) as folder:
        assert folder.begin(SETTINGS) == [ROW]


def test_a_changed_version_is_refused(used):
    record = json.loads((used / "settings.json").read_text())
    record["versions"]["torch"] = "1.0"
    (used / "settings.json").write_text(json.dumps(record))
    with OutputFolder(used) as folder, pytest.raises(FeatmixError, match=r"torch = 1\.0"):
        folder.begin(SETTINGS)


RECORD = {"settings": SETTINGS, "versions": versions(), "machines": [machine()], "calls": []}


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{}",
        "[1]",
        "[" * 100_000,
        '{"settings": ' + '{"a": ' * 50_000,
        '{"calls": NaN}',
        "9" * 5000,
        "{" + " " * 2**20 + "}",
        *(
            json.dumps({**RECORD, **changed})
            for changed in (
                {"calls": 3},
                {"calls": [3]},
                {"calls": [{}]},
                {"calls": [{"runs": 1}]},
                {"calls": [{"runs": "1", "seconds": 2.0, "jobs": 1}]},
                {"calls": [{"runs": 1, "seconds": None, "jobs": 1}]},
                {"calls": [{"runs": 1, "seconds": 1e300, "jobs": 1}]},
                {"calls": [{"runs": -1, "seconds": 1, "jobs": 1}]},
                {"calls": [{"runs": 1.5, "seconds": 1, "jobs": 1}]},
                {"calls": [{"runs": 1, "seconds": 1, "jobs": 1, "more": 1}]},
                {"machines": {}},
                {"machines": [3]},
                {"machines": [{"cores": []}]},
                {"machines": [{"cores": "x" * 5000}]},
                {"settings": []},
                {"settings": {"epochs": [3]}},
                {"versions": {"torch": 2}},
            )
        ),
    ],
)
def test_runs_without_their_settings_are_refused(used, text):
    path = used / "settings.json"
    path.unlink() if text is None else path.write_text(text)
    with OutputFolder(used) as folder, pytest.raises(FeatmixError, match="the settings of the runs beside it"):
        folder.begin(SETTINGS)
    assert (used / "runs.csv").exists()


def test_what_is_wrong_with_them_is_said_with_its_place(used):
    (used / "settings.json").write_text('{"settings": {},\n "versions": oops}')
    with OutputFolder(used) as folder, pytest.raises(FeatmixError, match=r"settings\.json: .*line 2 column"):
        folder.begin(SETTINGS)
    (used / "settings.json").write_text(json.dumps({**RECORD, "calls": [{"runs": 1, "seconds": "x", "jobs": 1}]}))
    with OutputFolder(used) as folder, pytest.raises(FeatmixError, match=r"calls\[0\]\.seconds is no number"):
        folder.begin(SETTINGS)


def test_a_message_about_them_steers_no_terminal(used):
    settings = {**SETTINGS, "data": "\x1b[2J\u202e"}
    (used / "settings.json").write_text(json.dumps({**RECORD, "settings": settings}))
    with OutputFolder(used) as folder, pytest.raises(FeatmixError, match=r"data = \\x1b\[2J\\u202e") as caught:
        folder.begin(SETTINGS)
    assert str(caught.value).isprintable()


def test_a_bad_line_is_kept_beside_the_runs_and_told_of_once(used):
    with (used / "runs.csv").open("ab") as file:
        file.write(b"moex,\xff\n")
    with OutputFolder(used) as folder, pytest.warns(FeatmixWarning, match=r"line 3 .* kept in runs-set-aside\.csv"):
        assert folder.begin(SETTINGS) == [ROW]
    assert (used / "runs-set-aside.csv").read_bytes() == b"moex,\xff\n"
    with OutputFolder(used) as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert folder.begin(SETTINGS) == [ROW]


def test_nothing_is_written_where_a_link_leads(used, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("keep")
    for name in (".lock", "runs-set-aside.csv"):
        (used / name).unlink(missing_ok=True)
        (used / name).symlink_to(mine)
    with pytest.raises(FeatmixError, match="a folder to write to"), OutputFolder(used):
        pass
    (used / ".lock").unlink()
    with (used / "runs.csv").open("ab") as file:
        file.write(b"bad\n")
    with OutputFolder(used) as folder, pytest.raises(FeatmixError, match=r"runs-set-aside\.csv: expected a file to write to"):
        folder.begin(SETTINGS)
    assert mine.read_text() == "keep"


def test_fresh_throws_away_what_is_ours_alone(used):
    (used / "mine.txt").write_text("keep")
    with OutputFolder(used) as folder:
        assert folder.begin({**SETTINGS, "epochs": 4}, fresh=True) == []
        assert folder.calls == []
    assert (used / "mine.txt").exists()
    assert not (used / "runs.csv").exists()


def test_a_folder_in_use_is_refused(used):
    pytest.importorskip("fcntl")
    with OutputFolder(used), pytest.raises(FeatmixError, match="in use"), OutputFolder(used):
        pass
    with OutputFolder(used):
        pass


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FeatmixError, match="a folder to write to"), OutputFolder(tmp_path / "file"):
        pass


def test_circumstances():
    assert set(versions()) >= {"featmix", "torch"}
    assert machine()["cores"] == cores() >= 1
