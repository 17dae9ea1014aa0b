import io
import shutil

import numpy as np
import pytest
import torch
from rich.console import Console

from featmix.compare import compare
from featmix.compare.kept import files_of, is_kept, name_of, read_about, read_kept
from featmix.compare.merging import merge
from featmix.errors import FeatmixError
from tests.compare import nets
from tests.compare.test_own_data import Pictures

ASKED = {
    "data": {"photo": Pictures(range(0, 60)), "art": Pictures(range(90, 150))},
    "size": 12,
    "epochs": 2,
    "batch_size": 20,
    "seeds": 1,
}


def nameless():
    return lambda num_classes: nets.Tiny(num_classes)


def run(out, **more):
    return compare(["moex"], model=nameless(), out=out, console=Console(file=io.StringIO()), **{**ASKED, **more})


def measured(found):
    return [(row.key, row.in_domain_accuracy, row.held_out_accuracy, row.calibration_error, row.error) for row in found.rows]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A comparison of which nothing is kept, gone on with so that all is: its runs are made again."""
    out = tmp_path_factory.mktemp("kept")
    plain = run(out)
    assert not (out / "kept").exists()
    found = run(out, keep=True)
    assert measured(found) == measured(plain)  # watching changes nothing
    return out, found


def test_all_runs_are_kept_with_what_their_rows_say(kept):
    out, found = kept
    assert read_about(out / "kept") == (("cat", "dog", "owl"), ("photo", "art"))
    records = list(read_kept(out / "kept", [row.key for row in found.rows]))
    assert len(records) == len(found.rows) == 4
    for row, record in zip(found.rows, records, strict=True):
        assert [point.epoch for point in record.curve] == [1, 2]
        assert record.curve[-1].in_domain_accuracy == pytest.approx(row.in_domain_accuracy, abs=1e-6)
        assert record.curve[-1].held_out_accuracy == pytest.approx(row.held_out_accuracy, abs=1e-6)
        for where, accuracy, images in (("in_domain", row.in_domain_accuracy, 18), ("held_out", row.held_out_accuracy, 60)):
            confusion = record.confusion(where)
            assert confusion.sum() == images
            assert np.trace(confusion) / images == pytest.approx(accuracy, abs=1e-6)
            assert record.class_accuracy[where] == pytest.approx((confusion.diagonal() / confusion.sum(1)).tolist())
            with np.load(record.answers) as columns:
                taken_for = columns[f"{where}_probabilities"].argmax(1)
                right = taken_for == columns[f"{where}_labels"]
                assert right.mean() == pytest.approx(accuracy, abs=1e-6)
                assert np.allclose(columns[f"{where}_probabilities"].sum(1), 1)
        network = nets.Tiny(3)
        network.load_state_dict(torch.load(record.network, weights_only=True))


def test_what_is_kept_is_not_made_again_and_goes_with_fresh(kept, tmp_path):
    out, found = kept
    shutil.copytree(out, tmp_path / "out")
    again = run(tmp_path / "out", keep=True)
    assert again.rows == found.rows  # times per step included
    (tmp_path / "out" / "kept" / "mine.txt").write_text("x")
    run(tmp_path / "out", fresh=True)
    assert [path.name for path in (tmp_path / "out" / "kept").iterdir()] == ["mine.txt"]


def test_folders_that_are_joined_bring_what_they_kept(kept, tmp_path):
    out, found = kept
    shutil.copytree(out, tmp_path / "other")
    for path in files_of(tmp_path / "other" / "kept", found.rows[0].key):
        path.unlink()
    joined = merge([tmp_path / "other", out], tmp_path / "joined", console=Console(file=io.StringIO()))
    assert not is_kept(joined / "kept", found.rows[0].key)  # the first folder's run is taken
    assert all(is_kept(joined / "kept", row.key) for row in found.rows[1:])
    assert read_about(joined / "kept")[0] == ("cat", "dog", "owl")


def test_names_are_safe_and_tell_runs_apart():
    keys = [("moex", "lam=0.9", "../x", 1, "räume/ä"), ("moex", "lam=0.9", "..-x", 1, "räume/ä"), ("a" * 300, "", "", 0, "")]
    names = [name_of(key) for key in keys]
    assert len(set(names)) == 3
    assert all(len(name) < 200 and "/" not in name for name in names)


@pytest.mark.parametrize("written", ["[1]", "{", '{"key": 1, "curve": [{"epoch": "<b>"}], "class_accuracy": {}}'])
def test_a_file_that_is_none_is_refused(kept, tmp_path, written):
    out, found = kept
    shutil.copytree(out / "kept", tmp_path / "kept")
    key = found.rows[0].key
    files_of(tmp_path / "kept", key)[-1].write_text(written)
    with pytest.raises(FeatmixError, match="expected"):
        list(read_kept(tmp_path / "kept", [key]))
    files_of(tmp_path / "kept", key)[1].write_bytes(b"nothing")
    (record,) = read_kept(out / "kept", [key])
    with pytest.raises(FeatmixError, match="answers that can be read"):
        record.confusion("nowhere")
