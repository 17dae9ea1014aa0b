"""Ranges that contradict what is done with images: warned of on the first batch, with what to change."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from kornia import augmentation as K
from torch import Generator, nn

import featmix as fm
from featmix.errors import FeatmixError, FeatmixWarning

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
X = torch.rand(8, 3, 8, 8, generator=Generator().manual_seed(0))
Z = (X - 0.45) / 0.22


def told(pipeline, *batches, evaluation=False):
    """What is warned of when batches go through ``prepare``."""
    with warnings.catch_warnings(record=True) as caught, pipeline.attach(nn.Identity()) as mixer:
        warnings.simplefilter("always")
        mixer._root.train(not evaluation)
        for x in batches:
            mixer.prepare(x)
    return [str(each.message) for each in caught if issubclass(each.category, FeatmixWarning)]


def colours(**settings):
    return fm.Pipeline(batch=K.ColorJiggle(0.1, 0.1, p=1.0), seed=0, **settings)


def test_normalized_images_before_colours_are_noticed():
    (message,) = told(colours(), Z, Z, Z)
    clipped = float(((Z < 0) | (Z > 1)).float().mean())
    assert f"{clipped:.0%} of the values were clipped" in message
    assert "Pipeline(normalize=(mean, std))" in message
    assert told(colours(), X, Z) == []  # the first batch says which range it is
    assert told(fm.Pipeline(batch=K.RandomHorizontalFlip(), seed=0), Z, Z) == []
    assert told(fm.Pipeline(batch=K.RandomAffine(30.0, p=1.0), seed=0), Z) == []  # zeros at the border are no clipping
    assert told(fm.Pipeline(batch=lambda x: x.clamp(0, 1)), Z)
    white = torch.where(X > 0.4, 1.0, X)
    for scaled in (X * 255, white * 255):
        assert told(fm.Pipeline(batch=lambda x: x / 255), scaled) == []


def test_one_that_seldom_acts_is_noticed_when_it_does():
    seldom = fm.Pipeline(batch=K.ColorJiggle(0.1, 0.1, p=0.2), seed=0)
    assert len(told(seldom, *[Z] * 8)) == 1


def test_values_up_to_255_are_noticed():
    (message,) = told(colours(), X * 255)
    assert "Divide by 255" in message
    assert "uint8" in message
    (message,) = told(fm.Pipeline(normalize=(MEAN, STD)), X * 255, X * 255)
    assert "images from" in message
    assert "Divide by 255" in message


@pytest.mark.parametrize("evaluation", [False, True])
def test_what_is_normalized_already_is_noticed(evaluation):
    (message,) = told(fm.Pipeline(normalize=(MEAN, STD)), Z, Z, evaluation=evaluation)
    assert "look normalized already" in message
    assert told(fm.Pipeline(normalize=(MEAN, STD)), X, evaluation=evaluation) == []
    noisy = X + 0.1 * torch.randn(X.shape, generator=Generator().manual_seed(0))
    assert told(fm.Pipeline(normalize=(MEAN, STD)), noisy, evaluation=evaluation) == []
    (message,) = told(fm.Pipeline(normalize=(0.5, 0.5)), 2 * X - 1, evaluation=evaluation)
    assert "look normalized already" in message
    decibels = 15 * torch.randn(4, 1, 8, 8, generator=Generator().manual_seed(0)) - 40
    assert told(fm.Pipeline(normalize=(-40.0, 15.0)), decibels, evaluation=evaluation) == []
    (message,) = told(fm.Pipeline(normalize=(-40.0, 15.0)), (decibels + 40) / 15, evaluation=evaluation)
    assert "look normalized already" in message


def test_mean_and_std_of_bytes_for_images_of_floats():
    (message,) = told(fm.Pipeline(normalize=((123.7, 116.3, 103.5), (58.4, 57.1, 57.4))), X)
    assert "divided by 255" in message
    assert told(fm.Pipeline(normalize=((123.7, 116.3, 103.5), (58.4, 57.1, 57.4))), X * 255) == []


def test_evaluation_that_is_not_normalized_is_noticed():
    def evaluate(given, *, normalize=(MEAN, STD)):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        pipeline = fm.Pipeline(normalize=normalize, mix={"0": fm.MixStyle()})
        with warnings.catch_warnings(record=True) as caught, pipeline.attach(model, example=X) as mixer:
            warnings.simplefilter("always")
            model.eval()
            for _ in range(2):
                model(given(mixer, pipeline))
        return [str(each.message) for each in caught if issubclass(each.category, FeatmixWarning)]

    (message,) = evaluate(lambda mixer, pipeline: X)
    assert "a forward in eval mode with images from" in message
    assert "mixer.prepare" in message
    assert evaluate(lambda mixer, pipeline: mixer.prepare(X)) == []
    assert evaluate(lambda mixer, pipeline: torch.stack(list(pipeline.eval_dataset(list(X))))) == []
    assert evaluate(lambda mixer, pipeline: X, normalize=None) == []
    (message,) = evaluate(lambda mixer, pipeline: mixer.prepare(torch.stack(list(pipeline.eval_dataset(list(X))))))
    assert "eval_dataset are ready" in message


def test_two_normalizations_are_refused_and_one_that_evaluation_lacks_is_noticed():
    A = pytest.importorskip("albumentations")
    theirs = K.Normalize(torch.tensor(MEAN), torch.tensor(STD))
    sample = A.Compose([A.HorizontalFlip(), A.Normalize()])
    for settings in (
        {"sample": sample, "batch": K.AugmentationSequential(K.RandomAffine(5.0), theirs)},
        {"sample": sample, "normalize": (MEAN, STD)},
        {"batch": theirs, "normalize": (MEAN, STD)},
    ):
        with pytest.raises(FeatmixError, match="twice"):
            fm.Pipeline(**settings)
    with pytest.warns(FeatmixWarning, match="does nothing in eval mode"):
        fm.Pipeline(batch=theirs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fm.Pipeline(sample=sample)
        fm.Pipeline(sample=A.Normalize(mean=(0, 0, 0), std=(1, 1, 1)), normalize=(MEAN, STD))  # divides by 255 alone


def test_a_normalization_in_sample_is_traced_to_the_colours_that_it_comes_before():
    A = pytest.importorskip("albumentations")
    train = [(np.uint8(image.movedim(0, -1).numpy() * 255), 0) for image in X]
    pipeline = colours(sample=A.Compose([A.Normalize()]))
    images, _ = next(iter(pipeline.loader(train, batch_size=8)))
    (message,) = told(pipeline, images)
    assert "clipped" in message
    assert "no Normalize" in message or "Leave Normalize out of sample=" in message


def of_sample(sample, image):
    """What is warned of while items go through ``sample``."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = fm.Pipeline(sample=sample, seed=0).dataset([(image, 0)] * 12)
        for k in range(12):
            data[k]
    return [str(each.message) for each in caught if issubclass(each.category, FeatmixWarning)]


def test_floats_up_to_255_are_noticed_in_sample_too():
    A = pytest.importorskip("albumentations")
    image = np.float32(X[0].movedim(0, -1).numpy() * 255)
    for sample in (A.ColorJitter(p=1.0), A.Compose([A.HorizontalFlip(), A.ColorJitter(p=0.5)])):
        (message,) = of_sample(sample, image)
        assert message.startswith("Pipeline: sample")
        assert "Divide by 255" in message
    (message,) = of_sample(K.ColorJiggle(0.1, 0.1, p=1.0), X[0] * 255)
    assert "Divide by 255" in message
    for quiet in (np.uint8(image), image / 255):
        assert of_sample(A.ColorJitter(p=1.0), quiet) == []
    assert of_sample(lambda x: x / 255, image) == []


def test_the_look_at_evaluation_is_in_no_graph_and_in_no_copy():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    with fm.Pipeline(normalize=(MEAN, STD), mix={"0": fm.MixStyle(p=1.0)}, seed=0).attach(model) as mixer:
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        images, labels = mixer.prepare(X), torch.arange(8) % 2
        mix = mixer.draw(images, target=labels)
        assert bool(mix.loss(nn.functional.cross_entropy, compiled(images), labels).isfinite())
        twin = copy.deepcopy(model).eval()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            twin(X)
            pickle.loads(pickle.dumps(model)).eval()(X)
            torch.testing.assert_close(compiled.eval()(images), twin(images))
    assert not model._forward_pre_hooks
    torch.compiler.reset()
