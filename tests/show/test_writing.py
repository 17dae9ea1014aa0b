import csv

import numpy as np
import pytest
import torch
from PIL import Image

import featmix as fm
from featmix.show import look, show, write
from featmix.show.drawing import draw_samples, draw_site
from featmix.show.table import label_table

IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
TREE = {"input": fm.CutMix(), "stem": fm.MoEx(lam=0.75), "layer2": fm.MixStyle(p=1.0)}


@pytest.fixture(scope="module")
def step():
    return look(TREE, images=IMAGES, labels=["a", "b", "c", "d"])


def table(text):
    """The shares of each place, as a matrix."""
    header, *rows = csv.reader(text.splitlines())
    places = {}
    for place, _, _, *shares in rows:
        places.setdefault(place, []).append([float(share) for share in shares])
    return header, {place: torch.tensor(shares) for place, shares in places.items()}


def test_the_table_has_the_label_weights_of_every_place(step):
    header, shares = table(label_table(step))
    assert header[3:] == ["share of 0 (a)", "share of 1 (b)", "share of 2 (c)", "share of 3 (d)"]
    assert list(shares) == ["input", "stem", "layer2", "loss"]
    assert torch.allclose(shares["input"], step.at_input.matrix(), atol=1e-5)
    assert torch.allclose(shares["stem"], step.sites[0].labels_after.matrix(), atol=1e-5)
    assert torch.allclose(shares["loss"], step.mixture.matrix(), atol=1e-5)
    assert not torch.allclose(shares["loss"], shares["input"], atol=1e-2)


def test_labels_remembered_are_columns_of_their_own():
    with fm.attach(
        model := torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3)), {"0": (moex := fm.MoEx(memory=4))}, example=IMAGES
    ) as mixer:
        for _ in range(4):
            mixer.draw(IMAGES, target=torch.arange(4))
            model(IMAGES)
    remembering = look({"input": fm.CutMix(), "0": moex}, images=IMAGES, labels=torch.arange(4), model=model)
    _, shares = table(label_table(remembering))
    assert torch.allclose(shares["loss"], remembering.mixture.matrix(), atol=1e-5)
    assert shares["input"].shape == shares["loss"].shape
    assert len(draw_samples(remembering).axes) == 8


def test_samples_before_and_after_with_labels_under_each(step):
    axes = draw_samples(step).axes
    assert [axis.get_xlabel() for axis in axes[:4]] == ["a", "b", "c", "d"]
    for row, axis in enumerate(axes[4:]):
        here, _, loss = axis.get_xlabel().partition("\nin the loss:\n")
        for told, mixture in ((here, step.at_input), (loss, step.mixture)):
            shares = {line.split()[1]: float(line.split()[0]) for line in told.splitlines()}
            wanted = dict(zip("abcd", mixture.matrix()[row].tolist(), strict=True))
            assert shares == pytest.approx({name: share for name, share in wanted.items() if share > 0.005}, abs=0.006)
        assert np.allclose(axis.get_images()[0].get_array(), step.mixed[row].movedim(0, -1))


def test_what_a_pipeline_does_first_has_a_row_of_its_own():
    step = look(fm.Pipeline(sample=lambda image: image.flip(-1), mix={"input": fm.Mixup()}), images=IMAGES)
    axes = draw_samples(step).axes
    pictures = [np.asarray(axis.get_images()[0].get_array()) for axis in axes]
    assert [axes[k].get_ylabel() for k in (0, 4, 8)] == ["before", "after sample\nand batch", "after mixing\nat the input"]
    assert np.allclose(pictures[4], pictures[0][:, ::-1])
    assert not np.allclose(pictures[8], pictures[4])


def test_maps_before_of_the_partner_and_after_in_the_same_colours(step):
    site = step.sites[0]
    figure = draw_site(step, site)
    pictures = [axis.get_images()[0] for axis in figure.axes[:24]]
    wanted = []
    for part in ("mean", "std"):
        before, after = getattr(site.before, part), getattr(site.after, part)
        wanted += [*before, *before[site.partner], *after]
    for picture, values in zip(pictures, wanted, strict=True):
        assert np.array_equal(np.asarray(picture.get_array()), values.numpy())
    assert len({picture.get_clim() for picture in pictures[:12]}) == 1
    assert len({picture.get_clim() for picture in pictures[12:]}) == 1
    assert figure.axes[0].get_ylabel() == "mean before"
    assert figure.axes[4].get_xlabel() == figure.axes[int(site.partner[0])].get_xlabel()
    assert "in the loss" not in figure.axes[8].get_xlabel()  # the last strategy that mixes labels


def test_what_nobody_trained_is_said_to_be_random(step):
    assert "weights are random" in draw_site(step, step.sites[0]).get_suptitle()
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3))
    own = look({"input": fm.CutMix()}, images=IMAGES, model=model, site="0")
    assert "random" not in draw_site(own, own.sites[0]).get_suptitle()
    assert "in which nothing acts" in draw_site(own, own.sites[0]).get_suptitle()
    idle = look({"input": fm.CutMix(p=0.0)}, images=IMAGES)
    assert "nothing was mixed in this step" in draw_samples(idle).get_suptitle()


def test_files_are_the_same_byte_for_byte(step, tmp_path):
    first = write(step, tmp_path / "new" / "folder")
    assert [path.name for path in first] == ["samples.png", "moments-stem.png", "moments-layer2.png", "labels.csv"]
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(path.name for path in first)
    again = show(TREE, images=IMAGES, labels=["a", "b", "c", "d"], out=tmp_path / "again")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    other = show(TREE, images=IMAGES, labels=["a", "b", "c", "d"], out=tmp_path / "again", seed=1)
    assert all(one.read_bytes() != two.read_bytes() for one, two in zip(first, other, strict=True))
    for path in first[:-1]:
        assert min(Image.open(path).size) > 200


def test_names_of_sites_make_names_of_files(tmp_path):
    model = torch.nn.Sequential(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3)))
    written = show(fm.At("0.0", fm.MoEx(), call=0), images=IMAGES, model=model, out=tmp_path)
    assert written[1].name == "moments-0.0-call-0.png"


@pytest.mark.parametrize("name", fm.list_strategies())
def test_every_strategy_can_be_shown(name, tmp_path):
    written = show(name, images=IMAGES, site="layer1", out=tmp_path)
    assert written[0].name == "samples.png"
    assert written[1].name == "moments-layer1.png"
    _, shares = table(written[-1].read_text())
    assert torch.allclose(shares["loss"].sum(1), torch.ones(4), atol=1e-4)


def test_a_folder_that_cannot_be_written_to_is_refused(step, tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(fm.FeatmixError, match=r"show: out: expected a folder that can be written to, got .*file"):
        write(step, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"
