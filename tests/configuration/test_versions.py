import pytest

import featmix as fm
from featmix.configuration import versions
from featmix.configuration.place import Place
from featmix.configuration.versions import current_versions, mismatches

HERE = Place("f")


def test_versions_of_what_is_used_are_recorded():
    used = {
        "batch": {"class": "kornia.augmentation.RandomAffine"},
        "sample": [{"albumentations": {}}, {"function": "no_such.f"}],
    }
    found = current_versions(used)
    assert list(found) == ["featmix", "torch", "albumentations", "kornia"]
    assert found["kornia"] == "0.9.0"
    assert "+" not in found["torch"]
    assert found["featmix"] == fm.__version__


def test_a_mismatch_is_told_and_builds_do_not_matter(monkeypatch):
    monkeypatch.setattr(versions, "_installed", {"featmix": "1.0", "torch": "2.13.0", "kornia": None}.get)
    assert mismatches({"featmix": "1.0", "torch": "2.13.0"}, {}, HERE) == []
    differing = mismatches({"featmix": "0.9", "torch": "2.6.0", "kornia": "0.8"}, {"class": "kornia.x.Y"}, HERE)
    assert differing == [
        "featmix 0.9 there and 1.0 here",
        "torch 2.6.0 there and 2.13.0 here",
        "kornia 0.8 there and none here",
    ]


@pytest.mark.parametrize(
    ("given", "path"),
    [([], ""), ({"torch": 2.6}, "torch"), ({"kornia": "0.9.0"}, "kornia"), ({"os": "1"}, "os"), ({"torch": None}, "torch")],
)
def test_refusals(given, path):
    with pytest.raises(fm.FeatmixError) as caught:
        mismatches(given, {}, HERE)
    assert caught.value.argument == path


def test_a_mismatch_warns_where_the_file_is_loaded(tmp_path):
    written = fm.to_dict(fm.MoEx())
    written["versions"]["torch"] = "1.0.0"
    with pytest.warns(UserWarning, match=r"from_dict: written with other versions.*torch 1\.0\.0 there and 2\.") as caught:
        assert isinstance(fm.from_dict(written), fm.MoEx)
    assert caught[0].filename == __file__
    path = tmp_path / "one.yaml"
    fm.save(fm.MoEx(), path)
    path.write_text(path.read_text().replace(f"featmix: {fm.__version__}", "featmix: 0.0.1"))
    with pytest.warns(UserWarning, match=r"one\.yaml: written with other versions.*featmix 0\.0\.1 there") as caught:
        fm.load(path)
    assert caught[0].filename == __file__
