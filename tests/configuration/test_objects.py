"""kornia's transforms, written by class and arguments."""

import copy
import inspect

import pytest
import torch
from kornia import augmentation as K
from kornia.constants import DataKey, Resample
from torch import nn

import featmix as fm
from featmix.configuration import objects
from featmix.configuration.allowed import _NEVER
from featmix.configuration.arguments import names_of
from featmix.seeding import seeded

REQUIRED = {
    "CenterCrop": {"size": (4, 4)},
    "CenterCrop3D": {"size": (2, 2, 2)},
    "Denormalize": {"mean": torch.tensor([0.1, 0.2, 0.3]), "std": torch.tensor([0.5, 0.6, 0.7])},
    "ImageSequential": {"random_apply": 1},
    "LongestMaxSize": {"max_size": 6},
    "Normalize": {"mean": torch.tensor([0.1, 0.2, 0.3]), "std": torch.tensor([0.5, 0.6, 0.7])},
    "PadTo": {"size": (9, 9)},
    "RandomAffine": {"degrees": (-10.0, 20.0), "translate": (0.1, 0.2), "scale": (0.8, 1.2), "shear": 5.0},
    "RandomAffine3D": {"degrees": 10.0},
    "RandomCrop": {"size": (4, 4), "padding": 2},
    "RandomCrop3D": {"size": (2, 2, 2)},
    "RandomGaussianBlur": {"kernel_size": (3, 3), "sigma": (0.1, 2.0)},
    "RandomGamma": {"gamma": (0.5, 1.5), "gain": (1.0, 1.2)},
    "RandomMotionBlur": {"kernel_size": 3, "angle": 35.0, "direction": 0.5},
    "RandomMotionBlur3D": {"kernel_size": 3, "angle": 35.0, "direction": 0.5},
    "RandomPosterize": {"bits": 5},
    "RandomResizedCrop": {"size": (4, 4), "scale": (0.5, 1.0)},
    "RandomRotation": {"degrees": 15.0},
    "RandomRotation3D": {"degrees": 10.0},
    "RandomRotation90": {"times": (1, 2)},
    "RandomSaltAndPepperNoise": {"salt_vs_pepper": (0.3, 0.6)},
    "RandomShear": {"shear": 5.0},
    "RandomThinPlateSpline": {"scale": 0.1},
    "RandomTranslate": {"translate_x": (0.1, 0.2)},
    "Resize": {"size": (5, 5)},
    "SmallestMaxSize": {"max_size": 6},
}
NOT_READABLE = {"RandomFisheye", "PatchSequential", "MixAugmentationBaseV2"}  # need tensors that are reshaped, or members
BASES = {name for name in vars(K) if "AugmentationBase" in name}


def every_transform():
    for name, cls in sorted(vars(K).items()):
        if inspect.isclass(cls) and f"kornia.augmentation.{name}" not in _NEVER and name not in NOT_READABLE | BASES:
            arguments = REQUIRED.get(name, {})
            yield pytest.param(cls, arguments, id=name)
            for gate in [name for name in ("p", "p_batch") if name in names_of(cls)]:
                yield pytest.param(cls, {**arguments, gate: 0.7}, id=f"{name} {gate}=0.7")


def outcome(transform, seed):
    x = torch.rand(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    x = x if "3D" in type(transform).__name__ else x[:, :, 0]
    with seeded(seed):
        try:
            return transform(x)
        except Exception as error:  # what it cannot do, it cannot do twice
            return type(error), str(error)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("cls", "arguments"), list(every_transform()))
def test_every_transform_of_kornia_comes_back(cls, arguments):
    transform = cls(**arguments)
    written = fm.to_dict(transform)
    again = fm.from_dict(written)
    assert type(again) is cls
    assert fm.to_dict(again) == written
    for seed in range(3):
        first, second = outcome(copy.deepcopy(transform), seed), outcome(again, seed)
        assert torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second


def test_transforms_that_have_been_used_are_written_like_new_ones():
    transform = K.AugmentationSequential(K.RandomAffine(10.0, p=1.0), K.RandomResizedCrop((4, 4)), K.RandomGaussianNoise())
    before = fm.to_dict(transform)
    transform(torch.rand(2, 3, 8, 8), torch.ones(2, 1, 8, 8), data_keys=["input", "mask"])
    assert fm.to_dict(transform) == before


def test_a_container_with_all_its_settings():
    sequence = K.AugmentationSequential(
        K.RandomAffine(10.0),
        K.ImageSequential(K.RandomHorizontalFlip(p=1.0), K.ColorJiggle(0.1, 0.1, 0.1, 0.1), random_apply=1),
        data_keys=["input", "mask"],
        same_on_batch=True,
        random_apply=(1, 2),
        random_apply_weights=[1.0, 2.0],
        extra_args={DataKey.MASK: {"resample": Resample.BILINEAR, "align_corners": True}},
    )
    written = fm.to_dict(sequence)
    assert [member["class"] for member in written["members"]] == [
        "kornia.augmentation.RandomAffine",
        "kornia.augmentation.ImageSequential",
    ]
    again = fm.from_dict(written)
    x, mask = torch.rand(4, 3, 8, 8), (torch.rand(4, 1, 8, 8) > 0.5).float()
    for seed in range(5):
        with seeded(seed):
            first = sequence(x, mask)
        with seeded(seed):
            second = again(x, mask)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_what_is_within_is_refused_by_its_path():
    class Mine(K.RandomAffine):
        pass

    sequence = nn.Sequential(K.RandomHorizontalFlip(), nn.Sequential(Mine(10.0)))
    with pytest.raises(fm.FeatmixError, match="an object of a class that is allowed") as caught:
        fm.to_dict(fm.Pipeline(batch=sequence))
    assert caught.value.argument == "batch.members[1].members[0]"


def test_each_part_of_a_deep_container_is_looked_at_once(monkeypatch):
    class Mine(K.RandomAffine):
        pass

    looked, name_of = [], objects.name_of
    monkeypatch.setattr(objects, "name_of", lambda thing: (looked.append(thing), name_of(thing))[1])
    held = Mine(10.0)
    for _ in range(8):
        held = K.ImageSequential(held, random_apply=1)
    with pytest.raises(fm.FeatmixError, match="allowed"):
        fm.to_dict(held)
    assert len(looked) == 9


def test_what_cannot_be_read_off_is_refused():
    with pytest.raises(
        fm.FeatmixError, match="a RandomPlanckianJitter that can be made again from its arguments, got one with another"
    ):
        fm.to_dict(K.RandomPlanckianJitter(mode="CIED"))
    changed = K.RandomAffine(10.0)
    changed._param_generator.degree_sampler = K.RandomAffine(20.0)._param_generator.degree_sampler
    with pytest.raises(fm.FeatmixError, match=r"another .*degree_sampler"):
        fm.to_dict(changed)
    hooked = K.RandomAffine(10.0)
    hooked.register_forward_hook(lambda *_: None)
    with pytest.raises(fm.FeatmixError, match="another _forward_hooks"):
        fm.to_dict(hooked)


AFFINE = "kornia.augmentation.RandomAffine"


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ({"class": 3}, "batch.class", "the name of a class"),
        ({"class": "os.system"}, "batch.class", "allowed"),
        ({"class": "kornia.augmentation.RandomAfine"}, "batch.class", "Did you mean 'RandomAffine'"),
        ({"class": "kornia.constants.Resample"}, "batch.class", "the name of a class"),
        ({"class": AFFINE, "args": {}}, "batch.args", "class, members and arguments"),
        ({"class": AFFINE, "arguments": []}, "batch.arguments", "arguments of RandomAffine"),
        ({"class": AFFINE, "arguments": {"degree": 3}}, "batch.arguments.degree", "Did you mean 'degrees'"),
        ({"class": AFFINE}, "batch", "what RandomAffine can be made with"),
        ({"class": AFFINE, "arguments": {"degrees": "x"}}, "batch.arguments", "what RandomAffine can be made with"),
        ({"class": AFFINE, "arguments": {"degrees": {"class": "os.system"}}}, "batch.arguments.degrees.class", "allowed"),
        ({"class": AFFINE, "members": [1], "arguments": {"degrees": 1}}, "batch.members", "takes arguments only"),
        ({"class": "torch.nn.Sequential", "members": [{"class": "x.y"}]}, "batch.members[0].class", "allowed"),
        ({"class": "torch.nn.Sequential", "members": [3]}, "batch", "what Sequential can be made with"),
        ({"class": "torch.nn.Sequential", "members": {}}, "batch.members", "a list of members"),
        ({"function": "os.system"}, "batch.function", "allowed"),
        ({"function": AFFINE}, "batch.function", "the name of a function"),
        ({"function": 3}, "batch.function", "the name of a function"),
        ({"function": "x.y", "more": 1}, "batch.more", "function alone"),
        ({"enum": "kornia.constants.Resample.NEARST"}, "batch.enum.NEARST", "Did you mean 'NEAREST'"),
        ({"enum": AFFINE + ".x"}, "batch.enum", "a constant of an enumeration"),
        ({"enum": "os.name"}, "batch.enum", "allowed"),
        ({"enum": ""}, "batch.enum", "allowed"),
        ({"enum": "kornia.constants.Resample.NEAREST"}, "batch", "a transform"),
        (3, "batch", "a transform"),
        ([{"class": AFFINE, "arguments": {"degrees": 1.0}}], "batch", "a transform"),
    ],
)
def test_refusals(value, path, message):
    with pytest.raises(fm.FeatmixError) as caught:
        fm.from_dict({"batch": value})
    assert caught.value.argument == path
    assert message in str(caught.value)
