"""The command ``featmix show``: find what is to be shown and the images, write the pictures, and say what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

import featmix as fm
from featmix.compare.models import SMALL, TIMM
from featmix.compare.network import site_of_another
from featmix.compare.settings import resolve
from featmix.compare.stand_ins import told
from featmix.compare.training import make_network
from featmix.errors import FeatmixError
from featmix.pictures import captions
from featmix.pipeline import Pipeline
from featmix.presets.registry import preset
from featmix.show import Samples, Step, from_data, from_files, look, write


def run_show(
    strategy: str | None,
    *,
    pipeline: Path | None = None,
    data: str | None = None,
    images: Sequence[Path] = (),
    root: Path | None = None,
    size: int | None = None,
    model: str | None = None,
    weights: Path | None = None,
    site: str | None = None,
    seed: int = 0,
    count: int = 5,
    out: Path = Path("show-out"),
) -> list[Path]:
    """Write pictures of one step, print what became of the labels, and return what was written.

    Args:
        strategy: As ``featmix compare`` takes it, or the name of a preset.
        pipeline: A file that :func:`featmix.save` wrote, in place of a strategy.
        data: One of `featmix.compare.data.DATA_SETS`; digits where neither this nor ``images`` is given.
        images: Pictures, and folders of pictures.
        root: Where the files of fashion-mnist are, or those of torchvision.
        size: Side in pixels that images are resized to.
        model: The network whose layers are looked at, as ``featmix compare`` takes it; the small one where not given.
        weights: A file of its weights.
        site: The hidden layer to look at.
        seed: Of all that is drawn.
        count: How many images at most.
        out: The folder to write to.

    Raises:
        FeatmixError: If there is nothing to show or two things are, or something is not what it should be.
    """
    if (strategy is None) == (pipeline is None):
        got = "neither" if strategy is None else "both"
        fix = "For example: featmix show moex, or: featmix show --pipeline aug.yaml."
        raise FeatmixError("show", expected="either a strategy or --pipeline", got=got, fix=fix)
    if data is not None and images:
        raise FeatmixError("show", "images", expected="either --data or --images", got="both")
    what: Any = strategy if pipeline is None else fm.load(pipeline)
    samples = _samples(what, data, images, root, size, seed, count)
    network = _network(model, weights, samples, seed)
    step = _looked(what, pipeline, samples, network, site, seed, count)
    if network is not None:
        step = replace(step, random_weights=weights is None and str(model).startswith(TIMM))  # one's own may be trained
    written = write(step, out)
    known = isinstance(what, str) and what.strip().lower() in fm.list_presets()
    _report(step, written, told(preset(what.strip())) if known and network is None else "")
    return written


def _samples(
    what: Any, data: str | None, images: Sequence[Path], root: Path | None, size: int | None, seed: int, count: int
) -> Samples:
    if not images:
        return from_data(data or "digits", count=count, seed=seed, size=size, root=root)
    if root is not None:
        raise FeatmixError("show", "root", expected="none but for fashion-mnist", got=f"{root} for pictures")
    crops = isinstance(what, Pipeline) and what.sample is not None
    return from_files(images, count=count, seed=seed, size=size, as_they_are=crops)


def _network(model: str | None, weights: Path | None, samples: Samples, seed: int) -> nn.Module | None:
    """The network that is asked for; none is the small one with random weights."""
    settings = resolve({"model": model, "weights": weights})
    if settings.model == SMALL and not settings.weights:
        return None
    height, width = samples.images[0].shape[-2:]
    with torch.random.fork_rng(devices=[]):
        return make_network(settings, len(samples.classes), seed, size=(height, width))


def _looked(
    what: Any, pipeline: Path | None, samples: Samples, network: nn.Module | None, site: str | None, seed: int, count: int
) -> Step:
    try:
        return look(
            what, images=list(samples.images), labels=samples.labels, classes=samples.classes, site=site, model=network,
            seed=seed, count=count,
        )  # fmt: skip
    except FeatmixError as error:
        if network is not None or (error.subject, error.argument) != ("attach", "site"):
            raise
        fix = "Of another network: --model, or featmix.show.show(..., model=...) in Python."
        if pipeline is not None:
            more = " Or show it in your own: --model, or featmix.show.show(pipeline, model=model, out=folder) in Python."
            raise site_of_another(error, "show", str(pipeline), more) from None
        expected = "a layer of the small network"
        raise FeatmixError("show", "site", expected=expected, got=error.got, fix=f"{error.fix} {fix}") from None


def _report(step: Step, written: Sequence[Path], stand_ins: str) -> None:
    console = Console()

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    say(step.does)
    for name, label in zip(step.names, captions(step.mixture, step.names), strict=False):
        say(f"  {name} -> {' + '.join(label.splitlines())}")
    if stand_ins:
        say(f"sites of the small network stand for those of the preset's own: {stand_ins}")
    if step.idle:
        say("nothing was mixed in this step; another --seed shows another")
    if step.sites and step.random_weights:
        say("features are those of an untrained network: its weights are random")
    for path in written:
        say(str(path))
