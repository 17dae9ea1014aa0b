import pytest

from featmix.compare.data import read
from featmix.compare.folder import read_folder
from featmix.errors import FeatmixError
from tests.compare.test_folder import fill


@pytest.fixture
def pictures(tmp_path):
    """Puts pictures, each of a grey of its own, into folders."""
    shade = iter(range(256))

    def put(**counts):
        for place, count in counts.items():
            folder = tmp_path.joinpath(*place.split("__"))
            for number in range(count):
                fill(folder / ".made", 1, value=next(shade))
                (folder / ".made" / "0.png").rename(folder / f"{number}.png")
        return tmp_path

    return put


def test_train_and_test_are_splits(pictures):
    source = read_folder(pictures(train__cat=4, train__dog=3, Test__cat=2, Test__dog=1), 8)
    assert source.classes == ("cat", "dog")
    assert len(source.domains) == 1
    trial = source.trial(5, "")
    assert len(trial.train) == 7
    assert len(trial.seen) == 3
    assert source.about.endswith("7 to train and 3 to test on")
    assert source.notes == ()
    assert len(source.trial(5, "", limit=2).seen) == 2


def test_val_is_the_test_set_where_there_is_no_other(pictures):
    root = pictures(train__cat=4, train__dog=3, valid__cat=2, valid__dog=2)
    assert len(read_folder(root, 8).trial(0, "").seen) == 4
    pictures(test__cat=1, test__dog=1)
    source = read_folder(root, 8)
    assert len(source.trial(0, "").seen) == 2
    assert source.notes == ("4 validation image(s) not used: there are test images",)


@pytest.mark.parametrize("below", ["train__photo__cat", "photo__train__cat"])
def test_domains_have_splits_above_or_below(pictures, below):
    places = [
        below.replace("photo", d).replace("train", s).replace("cat", c) for d in "xy" for s in ("train", "test") for c in "ab"
    ]
    source = read_folder(pictures(**dict.fromkeys(places, 2)), 8)
    assert (source.domains, source.classes) == (("x", "y"), ("a", "b"))
    trial = source.trial(0, "y")
    assert [len(part) for part in (trial.train, trial.seen, trial.unseen)] == [4, 4, 8]
    assert set(trial.unseen.domains.tolist()) == {1}


def test_a_class_that_a_domain_lacks_is_said(pictures):
    source = read_folder(pictures(photo__cat=2, photo__dog=2, sketch__cat=2), 8)
    assert source.notes == ("no images of domain 'sketch' are of 'dog'",)
    source = read_folder(pictures(photo__cat=2, sketch__dog=2), 8)
    assert source.notes == ()


def test_a_class_that_a_split_lacks_is_said(pictures):
    root = pictures(train__photo__cat=2, train__photo__dog=2, train__sketch__cat=2, train__sketch__dog=2)
    assert read_folder(pictures(test__photo__cat=2, test__photo__dog=2, test__sketch__cat=1), 8).notes == (
        "no test images of domain 'sketch' are of 'dog'",
    )
    assert read_folder(root / "train", 8).notes == ()


def test_what_is_nested_loose_or_no_image_is_counted(pictures, tmp_path):
    root = pictures(cat=2, dog=2, cat__outdoors=3)
    (tmp_path / "dog" / "notes.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    fill(tmp_path, 1, value=250)
    source = read_folder(root, 8)
    assert source.labels.tolist().count(0) == 5
    assert source.notes == (
        "1 image(s) in no class folder passed over (0.png)",
        "1 file(s) passed over, which by their names are no images (1 .txt)",
        "1 folder(s) without images: empty",
        "3 image(s) in folders inside class folders, taken as of the class "
        "(cat/outdoors/0.png, cat/outdoors/1.png, cat/outdoors/2.png)",
    )


def test_loose_images_in_a_domain_are_counted(pictures, tmp_path):
    root = pictures(train__photo__cat=2, train__photo__dog=2, train__sketch__cat=2, train__sketch__dog=2)
    fill(tmp_path / "train" / "photo", 1, value=250)
    source = read_folder(root, 8)
    assert (source.domains, len(source.labels)) == (("photo", "sketch"), 8)
    assert source.notes == ("1 image(s) in no class folder passed over (train/photo/0.png)",)


def test_a_split_beside_something_else_is_refused(pictures):
    root = pictures(train__cat=2, train__dog=2, test__cat=2, extra__cat=2)
    with pytest.raises(FeatmixError, match=r"splits \(test, train\) beside extra/"):
        read_folder(root, 8)


def test_a_split_without_training_images_is_refused(pictures):
    with pytest.raises(FeatmixError, match="training and test images of each domain, got no training images"):
        read_folder(pictures(test__cat=2, test__dog=2), 8)


def test_a_folder_that_links_to_itself_ends(pictures, tmp_path):
    root = pictures(cat=2, dog=2)
    (tmp_path / "cat" / "again").symlink_to(tmp_path)
    assert len(read_folder(root, 8).labels) == 4


def test_exact_copies_are_counted(pictures, tmp_path):
    root = pictures(train__cat=2, train__dog=2, test__cat=2, test__dog=2)
    (tmp_path / "test" / "cat" / "9.png").write_bytes((tmp_path / "train" / "dog" / "0.png").read_bytes())
    assert read_folder(root, 8).notes == ("1 test image(s) that are exact copies of training images",)
    source = read_folder(root / "train", 8)
    assert source.notes == ()
    (tmp_path / "train" / "cat" / "9.png").write_bytes((tmp_path / "train" / "dog" / "0.png").read_bytes())
    (note,) = read_folder(root / "train", 8).notes
    assert note.startswith("1 image(s) that are exact copies of others (1 under another class)")


def test_the_fingerprint_is_of_contents(pictures, tmp_path):
    root = pictures(cat=2, dog=2)
    before = read(f"folder:{root}").fingerprint
    one, other = (tmp_path / name / "0.png" for name in ("cat", "dog"))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)  # the same names and, most likely, the same sizes
    assert read(f"folder:{root}").fingerprint != before
    one.write_bytes(first)
    other.write_bytes(second)
    assert read(f"folder:{root}").fingerprint == before
