"""From the arguments to the numbers behind the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from featmix.checks import whole
from featmix.compare.network import SmallResNet
from featmix.compare.places import Places
from featmix.compare.stand_ins import moved
from featmix.errors import FeatmixError, nearest
from featmix.mixer.sites import find, unwrap
from featmix.mixer.tree import INPUT
from featmix.pipeline.images import as_float_image
from featmix.pipeline.items import take_apart
from featmix.pipeline.preview import transformed
from featmix.presets.registry import list_presets
from featmix.schedule import checked_progress
from featmix.show.samples import from_data
from featmix.show.step import Step, take_step
from featmix.show.subject import Subject, subject_of

_CLASSES = 10  # outputs of the small network, which nobody looks at


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
    """The numbers behind the pictures of :func:`featmix.show.show`.

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
        model: Where the hidden layers are, named as :func:`featmix.attach` takes them; a strategy in words may name stages as
            in ``featmix compare``. Where not given, the network of ``featmix compare`` with random weights.
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
    if model is not None and isinstance(what, str):
        subject, site = _placed(subject, site, model, published=what.strip().lower() in list_presets())
    if images is None:
        if labels is not None or classes is not None:
            raise FeatmixError("show", "images", expected="images for these labels", got="none")
        given = from_data("digits", count=count, seed=seed)
        images, labels, classes = given.images, given.labels, given.classes
    items = list(images)
    if not items:
        raise FeatmixError("show", "images", expected="at least one", got="none")
    target, classes = _targets(labels, len(items), classes)
    if len(target) != len(items):
        raise FeatmixError("show", "labels", expected=f"one for each of {len(items)} images", got=len(target))
    items = items[:count]
    prepared = _prepared(subject, items, seed)
    hidden = site is not None or any(leaf.site != INPUT for leaf in subject.tree.leaves())
    place: nn.Module = nn.Identity()  # where no hidden layer is looked at, images need not fit any model
    if hidden and model is None:
        prepared, place = _as_rgb(prepared), _small_network(seed)
    elif hidden and model is not None:
        place = model
    last = subject.normalization
    step = take_step(
        subject.tree,
        [as_float_image(take_apart(item, subject.names).images[0]) for item in items],
        prepared if last is None else last(prepared),
        target=target[:count],
        classes=classes,
        model=place,
        random_weights=model is None,
        site=site,
        has_parts=subject.has_parts,
        seed=seed,
        progress=checked_progress("show", progress),
    )
    return step if last is None else replace(step, prepared=prepared, mixed=last.undone(step.mixed))


def _placed(subject: Subject, site: str | None, model: nn.Module, *, published: bool) -> tuple[Subject, str | None]:
    """Have sites that the model has no module for stand at its stages."""
    places = Places(unwrap(model), "show")

    def where(name: str) -> str:
        try:
            find(unwrap(model), name)
        except FeatmixError:
            return places.find(name, published=published)
        return name

    return replace(subject, tree=moved(subject.tree, where)), None if site is None else where(site)


def _check(model: Any, site: Any, seed: Any, count: Any) -> None:
    if model is not None and not isinstance(model, nn.Module):
        raise FeatmixError("show", "model", expected="a torch.nn.Module", got=type(model).__name__)
    if site is not None and (not isinstance(site, str) or not site or site == INPUT):
        fix = "Without it, samples at the input are shown all the same. To act there, write moex@input."
        raise FeatmixError("show", "site", expected="a hidden layer", got=repr(site), fix=fix)
    whole("show", "seed", seed)
    whole("show", "count", count, least=1)


def _targets(labels: Any, count: int, classes: Sequence[str] | None) -> tuple[Tensor, Sequence[str] | None]:
    """Labels as numbers, for strategies that need them, and their names."""
    if labels is None:
        return torch.arange(count), [f"image {row}" for row in range(count)]
    if isinstance(labels, Tensor):
        return labels, classes
    values = labels.tolist() if hasattr(labels, "tolist") else list(labels)
    if not all(isinstance(value, str) for value in values):
        try:
            return torch.tensor(values), classes
        except (TypeError, ValueError, RuntimeError) as error:
            expected = "class indices, names, or vectors of one length"
            raise FeatmixError("show", "labels", expected=expected, got=f"others: {error}") from error
    known = sorted(set(values)) if classes is None else list(classes)
    for value in values:
        if value not in known:
            raise FeatmixError("show", "labels", expected="names of classes", got=repr(value), fix=nearest(value, known))
    return torch.tensor([known.index(value) for value in values]), known


def _prepared(subject: Subject, images: Any, seed: int) -> Tensor:
    try:
        return transformed(subject.sample, subject.batch, images, seed, subject.names)
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
