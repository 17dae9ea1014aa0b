"""Normalization: last, once, and the same in training and evaluation."""

import warnings

import numpy as np
import pytest
import torch
from kornia import augmentation as K
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

import featmix as fm
from featmix.errors import FeatmixError, FeatmixWarning
from featmix.pipeline.normalization import Normalization

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DIGITS = np.rint(load_digits().images[:16] * 255 / 16).astype(np.uint8)
IMAGES = np.repeat(DIGITS[..., None], 3, axis=-1)
ITEMS = list(zip(IMAGES, range(16), strict=True))
UNIT = torch.from_numpy(IMAGES).movedim(-1, 1).float() / 255


def expected(x):
    return (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


@pytest.fixture(autouse=True)
def _no_warning_by_itself():
    with warnings.catch_warnings():
        warnings.simplefilter("error", FeatmixWarning)
        yield


def test_training_and_evaluation_see_the_same_images():
    pipeline = fm.Pipeline(normalize=(MEAN, STD), mix={"0": fm.MoEx("in")}, seed=0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    (images, _), *_ = pipeline.loader(ITEMS, batch_size=16)
    with pipeline.attach(model) as mixer:
        trained = mixer.prepare(images)
        model.eval()
        evaluated = mixer.prepare(images)
        model(evaluated)
    alone = torch.stack([image for image, _ in pipeline.eval_dataset(ITEMS)])
    for x in (trained, evaluated, alone):
        assert x.dtype == torch.float32
        torch.testing.assert_close(x, expected(UNIT))
    assert torch.equal(trained, evaluated)
    assert torch.equal(trained, alone)


def test_it_comes_after_batch_and_before_the_mixing():
    pipeline = fm.Pipeline(batch=lambda x: x * 0.5, normalize=(0.5, 0.25), mix={"input": fm.Mixup(p=1.0)}, seed=0)
    seen = []
    model = nn.Identity()
    with pipeline.attach(model) as mixer:
        images = mixer.prepare(UNIT)
        torch.testing.assert_close(images, (UNIT * 0.5 - 0.5) / 0.25)
        mix = mixer.draw(images)
        model.register_forward_hook(lambda _, args, output: seen.append(output))
        model(images)
    torch.testing.assert_close(seen[0], fm.Mixup().transform(images, mix.params["input"]))


def test_a_forgotten_prepare_is_refused():
    pipeline = fm.Pipeline(normalize=(MEAN, STD), mix={"input": fm.Mixup()})
    with pipeline.attach(nn.Identity()) as mixer, pytest.raises(FeatmixError, match="prepare"):
        mixer.draw(UNIT)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes(dtype):
    given = torch.from_numpy(IMAGES).movedim(-1, 1) if dtype == torch.uint8 else UNIT.to(dtype)
    with fm.Pipeline(normalize=(MEAN, STD)).attach(nn.Identity()) as mixer:
        done = mixer.prepare(given)
    assert done.dtype == (torch.float32 if dtype == torch.uint8 else dtype)
    torch.testing.assert_close(done.float(), expected(UNIT), atol=1e-1 if dtype.itemsize == 2 else 1e-5, rtol=0)


def test_masks_boxes_and_several_views():
    masks = torch.randint(5, (16, 8, 8))
    with fm.Pipeline(normalize=(MEAN, STD)).attach(nn.Identity()) as mixer:
        x, maps, boxes = mixer.prepare(UNIT, masks, boxes=[torch.tensor([[1.0, 2, 3, 4]])] * 16)
        views = mixer.prepare({"global": [UNIT, UNIT[:, :, :4, :4]]})
    assert maps is masks
    assert boxes[0].tolist() == [[1, 2, 3, 4]]
    torch.testing.assert_close(x, expected(UNIT))
    torch.testing.assert_close(views["global"][1], expected(UNIT)[:, :, :4, :4])


def test_volumes_and_one_number_for_all_channels():
    volume = torch.rand(2, 5, 3, 4, 4)
    with fm.Pipeline(normalize=(0.5, (0.1, 0.2, 0.3, 0.4, 0.5))).attach(nn.Identity()) as mixer:
        done = mixer.prepare(volume)
    torch.testing.assert_close(done[:, 4], (volume[:, 4] - 0.5) / 0.5)
    torch.testing.assert_close(done[:, 0], (volume[:, 0] - 0.5) / 0.1)


@pytest.mark.parametrize(
    "given",
    [0.5, (0.5,), (0.5, 0), (0.5, -1.0), ((), ()), ((0.1, 0.2), (0.1, 0.2, 0.3)), ("0.5", 1), (float("nan"), 1), (True, 1)],
)
def test_refusals(given):
    with pytest.raises(FeatmixError, match="normalize"):
        fm.Pipeline(normalize=given)


def test_other_channels_and_integers_are_refused():
    with fm.Pipeline(normalize=(MEAN, STD)).attach(nn.Identity()) as mixer:
        with pytest.raises(FeatmixError, match="3 channels"):
            mixer.prepare(UNIT[:, :1])
        with pytest.raises(FeatmixError, match="int64"):
            mixer.prepare((UNIT * 255).long())


# -- evaluation --------------------------------------------------------------------------------------------------------


def test_evaluation_crops_boxes_and_masks_alike_and_repeats():
    A = pytest.importorskip("albumentations")
    crop = A.Compose([A.CenterCrop(4, 4)], bbox_params=A.BboxParams("pascal_voc", label_fields=["kinds"]))
    item = {"image": IMAGES[0], "mask": DIGITS[0], "bboxes": np.array([[2.0, 2, 4, 5]]), "kinds": [3], "label": 7}
    pipeline = fm.Pipeline(normalize=(MEAN, STD), seed=0)
    done = pipeline.eval_dataset([item], sample=crop)[0]
    torch.testing.assert_close(done["image"], expected(UNIT)[0, :, 2:6, 2:6])
    assert np.array_equal(done["mask"], DIGITS[0, 2:6, 2:6])
    assert done["bboxes"].tolist() == [[0, 0, 2, 3]]
    assert done["label"] == 7
    batch = pipeline.collate([done, done])
    assert batch["image"].shape == (2, 3, 4, 4)
    drawn = fm.Pipeline(normalize=(0.5, 0.5)).eval_dataset(ITEMS, sample=A.Compose([A.RandomCrop(4, 4)]))
    assert all(torch.equal(drawn[k][0], drawn[k][0]) for k in range(16))
    plain, workers = (list(DataLoader(drawn, batch_size=8, num_workers=n)) for n in (0, 2))
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(plain, workers, strict=True))


def test_evaluation_leaves_training_and_generators_alone():
    def draws(evaluate):
        pipeline = fm.Pipeline(sample=lambda image: image + torch.rand(1).numpy(), normalize=(0.5, 0.5), seed=0)
        torch.manual_seed(0)
        if evaluate:
            list(pipeline.eval_dataset(ITEMS, sample=lambda image: image * np.float32(torch.rand(()))))
        loader = pipeline.loader(ITEMS, batch_size=16, shuffle=True)
        return next(iter(loader))[0], torch.rand(1)

    for first, second in zip(draws(False), draws(True), strict=True):
        assert torch.equal(first, second)


def test_evaluation_of_iterable_data_sets_and_without_normalization():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(ITEMS)

    images, labels = next(iter(DataLoader(fm.Pipeline().eval_dataset(Stream()), batch_size=16)))
    torch.testing.assert_close(images, UNIT)
    assert labels.tolist() == list(range(16))


def test_evaluation_refuses():
    pipeline = fm.Pipeline(normalize=(MEAN, STD))
    with pytest.raises(FeatmixError, match="data set of training"):
        pipeline.eval_dataset(pipeline.dataset(ITEMS))
    with pytest.raises(FeatmixError, match="normalized once"):
        pipeline.eval_dataset(ITEMS, sample=K.Normalize(torch.tensor(MEAN), torch.tensor(STD)))
    with pytest.raises(FeatmixError, match="own label"):
        pipeline.eval_dataset(ITEMS, sample=K.RandomMixUpV2())
    with pytest.raises(FeatmixError, match="a transform"):
        pipeline.eval_dataset(ITEMS, sample=[K.CenterCrop(4)])
    with pytest.raises(FeatmixError, match="a data set"):
        pipeline.eval_dataset(iter(ITEMS))


# -- saved, resumed, shown ---------------------------------------------------------------------------------------------


def test_saved_loaded_and_told(tmp_path):
    pipeline = fm.Pipeline(normalize=(np.float32(0.5), list(STD)), seed=1)
    fm.save(pipeline, tmp_path / "aug.yaml")
    again = fm.load(tmp_path / "aug.yaml")
    assert again.normalize == pipeline.normalize == ((0.5,), STD)
    assert fm.to_dict(again) == fm.to_dict(pipeline)
    line = pipeline.summary().splitlines()[1]
    assert line == "normalize  images' device, in evaluation too  (x - 0.5) / (0.229, 0.224, 0.225)  stay"
    assert "normalize=((0.5,), (0.229, 0.224, 0.225))" in repr(pipeline)
    told = fm.to_dict(pipeline)
    del told["normalize"]["std"]
    with pytest.raises(FeatmixError, match="no std"):
        fm.from_dict(told)
    assert "normalize" not in fm.to_dict(fm.Pipeline())


def test_a_state_is_of_one_normalization():
    state = fm.Pipeline(normalize=(MEAN, STD), seed=0).state_dict()
    fm.Pipeline(normalize=(MEAN, STD), seed=0).load_state_dict(state)
    for other in (None, (0.5, 0.5)):
        with pytest.raises(FeatmixError, match="normalize"):
            fm.Pipeline(normalize=other, seed=0).load_state_dict(state)
    with pytest.raises(FeatmixError, match="normalize"):
        fm.Pipeline(normalize=(MEAN, STD), seed=0).load_state_dict(fm.Pipeline(seed=0).state_dict())


def test_a_picture_shows_colours_and_mixes_as_training_does():
    settings = {"mix": {"input": fm.CutMix(p=1.0)}, "seed": 0}
    figures = [fm.Pipeline(normalize=n, **settings).preview(list(IMAGES[:4]), range(4)) for n in (None, (MEAN, STD))]
    shown = [[np.asarray(axis.get_images()[0].get_array()) for axis in f.axes if axis.get_images()] for f in figures]
    assert len(shown[0]) == 8
    for one, other in zip(*shown, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_show_draws_what_a_network_gets_in_colours():
    from featmix.show import look

    steps = [
        look(fm.Pipeline(normalize=n, mix={"input": fm.CutMix(p=1.0)}), images=UNIT[:4], labels=[0, 1, 2, 3])
        for n in (None, (MEAN, STD))
    ]
    torch.testing.assert_close(steps[0].mixed, steps[1].mixed)
    torch.testing.assert_close(steps[1].prepared, UNIT[:4])


def test_settings_of_the_object():
    assert str(Normalization.of((0.5, (0.25, 0.5)))) == "(x - 0.5) / (0.25, 0.5)"
    x = UNIT[:2]
    torch.testing.assert_close(Normalization.of((MEAN, STD)).undone(expected(x)), x)
