"""torchvision's transforms v2, written by class and arguments; with the real torchvision, where there is one."""

import copy
import inspect

import pytest
import torch

import featmix as fm
from featmix.configuration.allowed import _NEVER
from featmix.seeding import seeded
from tests.interop.real_torchvision import torchvision_or_skip

v2 = torchvision_or_skip("torchvision.transforms.v2")

REQUIRED = {
    "CenterCrop": {"size": 4},
    "ColorJitter": {"brightness": 0.2, "hue": (-0.1, 0.1)},
    "Compose": {"transforms": [v2.RandomHorizontalFlip(), v2.RandomCrop(4)]},
    "ConvertBoundingBoxFormat": {"format": "XYXY"},
    "FiveCrop": {"size": 3},
    "GaussianBlur": {"kernel_size": 3},
    "JPEG": {"quality": 50},
    "LinearTransformation": {"transformation_matrix": torch.eye(192), "mean_vector": torch.zeros(192)},
    "Normalize": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2]},
    "Pad": {"padding": 2},
    "RandomAdjustSharpness": {"sharpness_factor": 2.0},
    "RandomAffine": {"degrees": 10, "translate": (0.1, 0.1), "interpolation": v2.InterpolationMode.BILINEAR},
    "RandomApply": {"transforms": [v2.RandomHorizontalFlip()]},
    "RandomChoice": {"transforms": [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()], "p": [1.0, 2.0]},
    "RandomCrop": {"size": 4},
    "RandomOrder": {"transforms": [v2.RandomHorizontalFlip()]},
    "RandomPosterize": {"bits": 4},
    "RandomResize": {"min_size": 4, "max_size": 8},
    "RandomResizedCrop": {"size": 4},
    "RandomRotation": {"degrees": (-10, 20)},
    "RandomShortestSize": {"min_size": 8},
    "RandomSolarize": {"threshold": 0.5},
    "Resize": {"size": 5},
    "ScaleJitter": {"target_size": (8, 8)},
    "SetClampingMode": {"clamping_mode": "soft"},
    "TenCrop": {"size": 3},
    "ToDtype": {"dtype": torch.float32, "scale": True},
    "UniformTemporalSubsample": {"num_samples": 2},
}
LARGE = {"LinearTransformation"}  # 36,864 numbers are no configuration


def every_transform():
    for name, cls in sorted(vars(v2).items()):
        module = inspect.isclass(cls) and issubclass(cls, torch.nn.Module)
        if module and name != "Transform" and f"torchvision.transforms.v2.{name}" not in _NEVER and name not in LARGE:
            yield pytest.param(cls, REQUIRED.get(name, {}), id=name)


def outcome(transform, seed):
    with seeded(seed):
        try:
            return transform(torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1)))
        except Exception as error:  # what it cannot do, it cannot do twice
            return str(error)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("cls", "arguments"), list(every_transform()))
def test_every_transform_comes_back(cls, arguments):
    transform = cls(**arguments)
    written = fm.to_dict(transform)
    again = fm.from_dict(written)
    assert type(again) is cls
    assert fm.to_dict(again) == written
    for seed in range(3):
        first, second = outcome(copy.deepcopy(transform), seed), outcome(again, seed)
        if isinstance(first, torch.Tensor):
            assert torch.equal(first, second)
        elif isinstance(first, tuple):
            assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        else:
            assert getattr(first, "tobytes", first.__str__)() == getattr(second, "tobytes", second.__str__)()


def test_what_is_larger_than_a_configuration_is_refused():
    with pytest.raises(fm.FeatmixError, match="at most 20000 entries"):
        fm.to_dict(v2.LinearTransformation(**REQUIRED["LinearTransformation"]))


def test_a_function_of_anything_is_refused():
    with pytest.raises(fm.FeatmixError) as caught:
        fm.to_dict(fm.Pipeline(batch=v2.Compose([v2.RandomHorizontalFlip(), v2.Lambda(lambda x: x)])))
    assert caught.value.argument == "batch.arguments.transforms[1]"
    with pytest.raises(fm.FeatmixError, match="It runs any function"):
        fm.from_dict({"batch": {"class": "torchvision.transforms.v2.Lambda"}})


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_mixers_are_let_in_as_adapted_strategies_only(name):
    mixer = getattr(v2, name)(alpha=0.5, num_classes=3)
    for held in (mixer, v2.Compose([mixer]), v2.RandomApply([mixer])):
        with pytest.raises(fm.FeatmixError, match=r"fm\.interop\.torchvision\.from_torchvision"):
            fm.Pipeline(batch=held)
    value = {
        "name": "from_torchvision",
        "transform": {"class": f"torchvision.transforms.v2.{name}", "arguments": {"alpha": 0.5}},
    }
    assert fm.from_dict({"strategy": value}).alpha == 0.5
