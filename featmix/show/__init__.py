"""What a strategy or a pipeline does, to look at: samples, moment maps of hidden layers, and the label weights.

:func:`show` writes pictures; :func:`look` gives the numbers behind them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from featmix.compare.network import SmallResNet
from featmix.errors import FeatmixError
from featmix.pictures import as_png, as_target
from featmix.pipeline.items import as_float_image, take_apart
from featmix.pipeline.preview import transformed
from featmix.schedule import checked_progress
from featmix.show.drawing import draw_samples, draw_site
from featmix.show.maps import MomentMaps, moment_maps
from featmix.show.samples import Samples, from_data, from_files
from featmix.show.step import Site, Step, take_step
from featmix.show.subject import Subject, subject_of
from featmix.show.table import label_table
from featmix.tree import INPUT

__all__ = ["MomentMaps", "Samples", "Site", "Step", "from_data", "from_files", "look", "moment_maps", "show"]

_CLASSES = 10  # outputs of the small network, which nobody looks at


def show(what: Any, *, out: str | os.PathLike[str], **settings: Any) -> list[Path]:
    """Write pictures of one step: what it does to samples at the input, to hidden layers, and to labels.

    ``samples.png`` has samples before and after, at the input. ``moments-SITE.png`` has mean and standard deviation over
    channels at each position of a hidden layer, before and after, and the partner's, in the same colours. ``labels.csv`` has
    all label weights. From the same seed the files are the same, byte for byte.

    Args:
        what: See :func:`look`.
        out: The folder to write to; it is made where there is none, and files of these names are replaced.
        settings: See :func:`look`.

    Returns:
        What was written.

    Raises:
        FeatmixError: As :func:`look` does, and if matplotlib is not installed or the folder cannot be written to.

    Example:
        >>> import tempfile
        >>> [path.name for path in show("moex", out=tempfile.mkdtemp(), count=2)]
        ['samples.png', 'moments-stem.png', 'labels.csv']
    """
    return write(look(what, **settings), out)


def look(
    what: Any,
    *,
    images: Any = None,
    labels: Any = None,
    classes: Sequence[str] | None = None,
    site: str | None = None,
    model: nn.Module | None = None,
    seed: int = 0,
    count: int = 5,
    progress: float = 0.5,
) -> Step:
    """The numbers behind the pictures of :func:`show`.

    One step is drawn and carried out by the mixer that does so in training; the model, the strategies and the global generators
    stay as they are. The model's layers run in eval mode. Every label weight shown is that of this one step, composed in the
    order of the forward pass.

    Args:
        what: A strategy as ``featmix compare`` takes it (``moex:norm=in,lam=0.8``, ``mixup@layer2``), the name of a preset, a
            strategy, a tree, ``{site: strategy}``, or a :class:`~featmix.Pipeline`. A strategy in words that says nothing of
            ``p`` acts in every step, and one without a site where it usually stands: in a hidden layer, where ``site`` says.
        images: A batch ``(B, C, H, W)``, or a list of images as :meth:`featmix.Pipeline.dataset` takes them; some digits where
            not given.
        labels: One for each: class indices, names, or vectors.
        classes: What class indices stand for.
        site: The hidden layer to look at, whether or not anything acts in it; all in which something acts where not given.
        model: Where the hidden layers are, named as :func:`featmix.attach` takes them. Where not given, the network of
            ``featmix compare`` with random weights.
        seed: Of all that is drawn; another one shows another step.
        count: How many images at most.
        progress: How far training is, for settings that are schedules.

    Raises:
        FeatmixError: If something is not what it should be, or there is no such site.

    Example:
        >>> step = look("moex@layer1", images=torch.rand(4, 3, 16, 16))
        >>> site = step.sites[0]
        >>> site.place, site.after.mean.shape
        ('layer1', torch.Size([4, 16, 16]))
        >>> torch.allclose(site.after.mean, site.before.mean[site.partner], atol=1e-4)
        True
    """
    _check(model, site, seed, count)
    subject = subject_of(what, site, any_site=model is not None)
    if images is None:
        if labels is not None or classes is not None:
            raise FeatmixError("show", "images", expected="images for these labels", got="none")
        given = from_data("digits", count=count, seed=seed)
        images, labels, classes = given.images, given.labels, given.classes
    originals = [as_float_image(take_apart(image).image) for image in images]
    if not originals:
        raise FeatmixError("show", "images", expected="at least one", got="none")
    target, classes = _targets(labels, len(originals), classes)
    prepared = _prepared(subject, images[:count], seed)
    hidden = site is not None or any(leaf.site != INPUT for leaf in subject.tree.leaves())
    if hidden and model is None:
        prepared = _as_rgb(prepared)
    return take_step(
        subject.tree,
        originals[:count],
        prepared,
        target=target[:count],
        classes=classes,
        model=(model or _small_network(seed)) if hidden else nn.Identity(),
        random_weights=model is None,
        site=site,
        has_parts=subject.has_parts,
        seed=seed,
        progress=checked_progress("show", progress),
    )


def write(step: Step, out: str | os.PathLike[str]) -> list[Path]:
    """Write the pictures and the table of a step.

    Raises:
        FeatmixError: If matplotlib is not installed, or the folder cannot be written to.
    """
    files = {"samples.png": as_png(draw_samples(step))}
    for site in step.sites:
        files[f"moments-{re.sub(r'[^A-Za-z0-9_.]+', '-', site.place).strip('-')}.png"] = as_png(draw_site(step, site))
    files["labels.csv"] = label_table(step).encode()
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            temporary = folder / f".{name}.new"
            temporary.write_bytes(content)
            temporary.replace(folder / name)
    except OSError as error:
        raise FeatmixError("show", "out", expected="a folder that can be written to", got=f"{folder} ({error})") from error
    return [folder / name for name in files]


def _check(model: Any, site: Any, seed: Any, count: Any) -> None:
    if model is not None and not isinstance(model, nn.Module):
        raise FeatmixError("show", "model", expected="a torch.nn.Module", got=type(model).__name__)
    if site is not None and (not isinstance(site, str) or not site or site == INPUT):
        fix = "Without it, samples at the input are shown all the same. To act there, write moex@input."
        raise FeatmixError("show", "site", expected="a hidden layer", got=repr(site), fix=fix)
    for argument, value, least in (("seed", seed, 0), ("count", count, 1)):
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63:
            raise FeatmixError("show", argument, expected=f"a whole number from {least} up", got=repr(value))


def _targets(labels: Any, count: int, classes: Sequence[str] | None) -> tuple[Tensor, Sequence[str] | None]:
    """Labels as numbers, as strategies that look at them want them, and what they stand for."""
    if labels is None:
        return torch.arange(count), [f"image {row}" for row in range(count)]
    if len(labels) != count:
        raise FeatmixError("show", "labels", expected=f"one for each of {count} images", got=len(labels))
    numbers = as_target(labels)
    if numbers is not None:
        return numbers, classes
    names = [str(label) for label in labels]
    known = sorted(set(names))
    return torch.tensor([known.index(name) for name in names]), known


def _prepared(subject: Subject, images: Any, seed: int) -> Tensor:
    try:
        return transformed(subject.sample, subject.batch, images, seed)
    except FeatmixError:
        raise
    except Exception as error:  # whatever a library's transforms say of images that they cannot take
        raise FeatmixError(
            "show",
            "images",
            expected="images that the pipeline takes",
            got=f"{type(error).__name__}: {error}",
            fix="Pass images of the kind and size that it is for.",
        ) from error


def _as_rgb(images: Tensor) -> Tensor:
    if images.shape[1] in (1, 3):
        return images.expand(-1, 3, -1, -1).contiguous()
    got = f"{images.shape[1]} channels"
    raise FeatmixError("show", "images", expected="1 or 3 channels", got=got, fix="Or pass model=, which takes such images.")


def _small_network(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return SmallResNet(_CLASSES)
