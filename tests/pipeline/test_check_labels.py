import inspect
import os
from functools import partial

import pytest
from kornia import augmentation as K
from torch import nn

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A

import featmix as fm

MIXERS = ["RandomMixUpV2", "RandomCutMixV2", "RandomMosaic", "RandomTransplantation", "RandomTransplantation3D", "PatchMix"]


class Within:
    def __init__(self, held):
        self.held = held

    def __call__(self, images):
        return self.held(images)


def made(name):
    return getattr(K, name)()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", MIXERS)
@pytest.mark.parametrize("argument", ["sample", "batch"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda mixer: mixer,
        lambda mixer: nn.Sequential(K.RandomHorizontalFlip(), mixer),
        lambda mixer: K.AugmentationSequential(K.RandomHorizontalFlip(), mixer),
        lambda mixer: Within(Within(mixer)),
        lambda mixer: partial(Within(len), mixer),
    ],
    ids=["alone", "sequential", "kornia's sequential", "in an attribute", "in a partial"],
)
def test_a_mixer_of_kornia_is_refused_wherever_it_hides(name, argument, wrap):
    with pytest.raises(fm.FeatmixError, match=rf"Pipeline: {argument}: .*{name}.*fm\.interop\.kornia\.from_kornia"):
        fm.Pipeline(**{argument: wrap(made(name))})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_mixer_that_kornia_has_is_known():
    import kornia.augmentation._2d.mix as mixers

    found = {name for name, cls in vars(mixers).items() if inspect.isclass(cls) and not name.endswith("BaseV2")}
    for name in found - {"RandomJigsaw"}:
        with pytest.raises(fm.FeatmixError):
            fm.Pipeline(batch=made(name))


@pytest.mark.parametrize("strategy", [fm.CutMix(), fm.Mixup(), fm.MoEx()])
def test_a_strategy_that_mixes_labels_belongs_into_mix(strategy):
    for wrapped in (strategy, nn.Sequential(nn.Identity(), strategy), Within(strategy)):
        with pytest.raises(fm.FeatmixError, match=rf"{type(strategy).__name__}.*Put it into mix="):
            fm.Pipeline(batch=wrapped)


def test_what_leaves_labels_alone_is_let_in():
    fm.Pipeline(sample=A.Compose([A.HorizontalFlip()]), batch=nn.Sequential(K.RandomJigsaw(), fm.MixStyle()))


def test_torchvision_and_timm_are_told_by_name():
    for module, name in [
        ("torchvision.transforms.v2._augment", "_BaseMixUpCutMix"),
        ("timm.data.mixup", "Mixup"),
        ("timm.data.mixup", "FastCollateMixup"),
    ]:
        cls = type(name, (), {"__module__": module, "__qualname__": name, "__call__": lambda self, x: x})
        sub = type("CutMix", (cls,), {"__module__": module, "__qualname__": "CutMix"})
        with pytest.raises(fm.FeatmixError, match="CutMix, which mixes samples"):
            fm.Pipeline(batch=sub())


NAMED = K.RandomMixUpV2()


def test_a_mixer_in_a_closure_or_under_a_global_name_is_found():
    held = K.RandomCutMixV2()
    for hidden in (lambda x: held(x), lambda x: NAMED(x)):
        with pytest.raises(fm.FeatmixError, match="which mixes samples"):
            fm.Pipeline(batch=hidden)


def test_mosaic_of_albumentations_is_refused():
    for sample in (A.Mosaic(), A.Compose([A.HorizontalFlip(), A.OneOf([A.Mosaic()])])):
        with pytest.raises(fm.FeatmixError, match="Mosaic, which mixes samples"):
            fm.Pipeline(sample=sample)
