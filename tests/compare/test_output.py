import json

import pytest

from featmix.compare.output import OutputFolder, cores, machine, versions
from featmix.compare.results import Row
from featmix.errors import FeatmixError

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


@pytest.mark.parametrize("text", [None, "", "{}", "[1]"])
def test_runs_without_their_settings_are_refused(used, text):
    path = used / "settings.json"
    path.unlink() if text is None else path.write_text(text)
    with OutputFolder(used) as folder, pytest.raises(FeatmixError, match="the settings of the runs beside it"):
        folder.begin(SETTINGS)


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
