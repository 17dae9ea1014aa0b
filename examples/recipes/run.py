"""Every recipe on small real data, beside its native version: trained, saved, loaded, and repeated bit for bit.

Run: python examples/recipes/run.py
"""

import importlib.util
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import torch
from data import Network, dense, photographs, scenes, segmented, spectrograms, volumes
from length import length
from torch import nn

import featmix as fm

HERE = Path(__file__).parent
USES: dict[str, tuple[Callable, Callable[[], nn.Module]]] = {
    "torchvision_imagenet": (photographs, Network),
    "timm_train": (photographs, Network),
    "albumentations_classification": (photographs, Network),
    "albumentations_segmentation": (segmented, dense),
    "detection": (scenes, partial(dense, classes=1)),
    "kornia_batch": (photographs, Network),
    "volumes": (volumes, partial(dense, axes=3)),
    "spectrograms": (spectrograms, partial(Network, channels=1)),
    "two_views": (photographs, Network),
    "evaluation": (photographs, Network),
}


def load(name: str, folder: Path = HERE) -> ModuleType:
    """A recipe, or with ``folder=HERE / "native"`` its native version."""
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def network(name: str) -> nn.Module:
    """The network of a recipe, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return USES[name][1]()


def run(name: str, pipeline: fm.Pipeline | None = None, *, count: int = 16, **settings: int) -> list[float]:
    """Train, or evaluate, with a recipe's pipeline, or with one that was loaded; its losses, or who was right."""
    recipe = load(name)
    does = getattr(recipe, "train", None) or recipe.evaluate
    return does(pipeline or recipe.pipeline(), USES[name][0](count), network(name), **settings)


def run_native(name: str, *, count: int = 16, **settings: int) -> list[float]:
    """The same without featmix."""
    native = load(name, HERE / "native")
    does = getattr(native, "train", None) or native.evaluate
    return does(USES[name][0](count), network(name), **settings)


def main() -> None:
    """Run all of them."""
    print(f"{'recipe':32}{'lines':>6}{'native':>8}  the same once saved and loaded")
    for name in USES:
        try:
            recipe = load(name)
        except (ImportError, RuntimeError) as error:  # a library that is not there, or cannot be loaded
            print(f"{name:32}not run: {error}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            fm.save(recipe.pipeline(), Path(folder) / "aug.yaml")
            again = fm.load(Path(folder) / "aug.yaml")
        same = run(name) == run(name, again)
        run_native(name)
        print(f"{name:32}{length(name):6}{length(name, HERE / 'native'):8}  {same}")


if __name__ == "__main__":
    main()
