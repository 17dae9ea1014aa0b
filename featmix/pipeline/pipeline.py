"""Input space and feature space in one object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from featmix.checks import whole
from featmix.errors import FeatmixError
from featmix.labels.mixture import Mixture
from featmix.mixer.containers import replace
from featmix.mixer.given import Wanted, batch_of
from featmix.mixer.mixer import Mixer
from featmix.mixer.sites import unwrap
from featmix.mixer.tree import Tree, as_tree
from featmix.pipeline.batch import apply_to_batch
from featmix.pipeline.check_labels import check_keeps_labels
from featmix.pipeline.collate import collate
from featmix.pipeline.dataset import Transformed, TransformedStream
from featmix.pipeline.images import as_float_image
from featmix.pipeline.items import take_apart
from featmix.pipeline.loader import PipelineLoader
from featmix.pipeline.mixer import NoMix, PipelineMixer, drawing
from featmix.pipeline.names import Name, Names, names_for
from featmix.pipeline.numbering import Numbering
from featmix.pipeline.order import with_own_order
from featmix.pipeline.table import summary
from featmix.pipeline.wrapping import work_for, wrapped
from featmix.seeding import seed_worker
from featmix.strategies.base import Strategy
from featmix.support.arguments import helpful


class Pipeline:
    """Everything that is done to images and features in training: per sample, per batch, and mixed.

    Labels are mixed by ``mix`` alone, so that they are right whatever is stacked: a transform that mixes samples in ``sample``
    or ``batch`` is refused. In eval mode neither ``batch`` nor ``mix`` does anything: what validation needs too, resizing and
    normalizing, belongs into its data set or into the model.

    Args:
        sample: Applied to each sample in the loader's workers: of albumentations, torchvision v2, or any callable of an image.
        batch: Applied to each batch on its device: of kornia, torchvision v2 (which draws once for the whole batch), or any
            callable of a batch of images.
        mix: Strategies at sites, as :func:`featmix.attach` takes them.
        seed: Makes all of it repeatable; without one, torch's default generator decides.
        images: Which entries of an item are images, where it is not the key ``image`` or the first entry: a key or position,
            or several, which ``sample`` moves by one draw.
        masks: Which entries move with the image, where it is not the key ``mask`` alone; ``()`` for none. Without it, another
            entry of the image's height and width is refused.
        stay: Entries that ``sample`` is to leave as they are though they look like boxes, keypoints or masks: a key or
            position, or several.

    Raises:
        FeatmixError: If a part is none, or a transform mixes labels.

    Example:
        >>> import featmix as fm
        >>> import torch
        >>> from torch.nn import functional as F
        >>> pipeline = Pipeline(
        ...     sample=lambda image: image.flip(-1),
        ...     batch=lambda images: images + 0.1 * torch.randn_like(images),
        ...     mix={"input": fm.CutMix(p=0.5), "1": fm.MoEx("pono")},
        ...     seed=0,
        ... )
        >>> train = [(torch.rand(3, 8, 8), label) for label in (0, 1, 2, 3)]
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4))
        >>> mixer = pipeline.attach(model, example=torch.rand(4, 3, 8, 8))
        >>> for images, labels in pipeline.loader(train, batch_size=4, shuffle=True):
        ...     images = mixer.prepare(images)
        ...     mix = mixer.draw(images, target=labels)
        ...     loss = mix.loss(F.cross_entropy, model(images), labels)
        >>> mixer.remove()
    """

    @helpful("Pipeline", write="Pipeline(sample=..., batch=..., mix=...)")
    def __init__(
        self,
        *,
        sample: Any = None,
        batch: Any = None,
        mix: Tree | Mapping[str, Strategy] | None = None,
        seed: int | None = None,
        images: Name | Sequence[Name] | None = None,
        masks: Name | Sequence[Name] | None = None,
        stay: Name | Sequence[Name] = (),
    ) -> None:
        for argument, transform in (("sample", sample), ("batch", batch)):
            if transform is not None and (not callable(transform) or isinstance(transform, type)):
                fix = "Compose several with the Compose of their library."
                raise FeatmixError("Pipeline", argument, expected="a transform", got=repr(transform), fix=fix)
            check_keeps_labels(argument, transform)
        self.sample, self.batch = sample, batch
        self.seed = None if seed is None else whole("Pipeline", "seed", seed)
        self.mix = dict(mix) if isinstance(mix, Mapping) else mix
        self.tree = None if mix is None else as_tree(mix)
        self._names = names_for(images, masks, sample, stay)
        self._numbering = Numbering()

    @property
    def images(self) -> tuple[Name, ...] | None:
        """Which entries of an item are images; ``None`` for the key ``image``, or the first entry."""
        return self._names.images

    @property
    def masks(self) -> tuple[Name, ...] | None:
        """Which entries of an item move with the image; ``None`` for the key ``mask``."""
        return self._names.masks

    @property
    def names(self) -> Names:
        """What is said of the entries of an item, all together."""
        return self._names

    @property
    def stay(self) -> tuple[Name, ...]:
        """Which entries stay as they are, whatever they look like."""
        return self._names.stay

    # -- samples ---------------------------------------------------------------------------------------------------

    def dataset(self, source: Any, *, views: Any = None) -> Transformed | TransformedStream:
        """A data set whose items go through ``sample``: map-style, or iterable where the source is.

        Each has a number, in the order in which they are made, and draws from streams of its own.

        Args:
            source: Gives images, ``(image, label)``, ``(image, mask)`` with ``masks=1``, or dictionaries with ``image`` and
                ``mask``; images are PIL images, arrays ``(H, W, C)`` or tensors ``(C, H, W)``. What this pipeline made, or a
                ``ConcatDataset`` of such data sets, is not transformed again.
            views: Several views of each sample: how many, each by ``sample``; a list of transforms, one for each; or groups
                by name, each a number, ``(transform, count)`` or a list of transforms. In the place of an image is then a list
                of its views, or a dictionary of such lists; labels stay.

        Raises:
            FeatmixError: If it is no data set, some of its parts are the pipeline's and others are not, or ``views`` is none of
                these.
        """
        work = work_for(source, views, self.sample, self._names, self._numbering.family)
        return source if work is None else wrapped(source, work, self._numbering.stream(self.seed))

    @property
    def collate(self) -> Callable[[Sequence[Any]], Any]:
        """For ``DataLoader(collate_fn=...)``: see :func:`featmix.pipeline.collate.collate`."""
        return collate if self._names == Names() else partial(collate, names=self._names)

    @property
    def worker_init_fn(self) -> Callable[[int], None]:
        """For ``DataLoader(worker_init_fn=...)``: see :func:`featmix.seeding.seed_worker`."""
        return seed_worker(self.sample, seed=self.seed or 0)

    def loader(self, source: Any, *, views: Any = None, **settings: Any) -> PipelineLoader:
        """A ``DataLoader`` over :meth:`dataset` with all of the above; with the pipeline's seed, its order repeats too.

        Order and draws of an epoch are made of the seed, the rank, the data set's number, the epoch and the position in it: the
        number of workers is no matter, and :meth:`state_dict` knows where it is. Samplers that have no generator get one, and
        ``set_epoch`` is called where you do not; a sampler that draws from global generators has to be seeded by you.

        Args:
            source: See :meth:`dataset`.
            views: See :meth:`dataset`.
            settings: Other arguments of ``torch.utils.data.DataLoader``; what is given here goes first.

        Raises:
            FeatmixError: As :meth:`dataset` does, or if a state was loaded that has no such loader.
        """
        dataset = self.dataset(source, views=views)
        stream = self._numbering.stream(self.seed) if dataset is source else dataset.stream
        own = {"collate_fn": self.collate, "worker_init_fn": self.worker_init_fn}
        loader = PipelineLoader(dataset, **{**own, **with_own_order(dataset, settings, stream.first_seed)})
        self._numbering.follow(loader, stream)
        return loader

    def state_dict(self) -> dict[str, Any]:
        """Where the pipeline's loaders and data sets are: epochs, positions, and what else a resumed run needs of them.

        What is mixed, and drawn for ``batch``, is in the mixer's own ``state_dict``; save both. One rank's is enough for all,
        but where you gave generators of your own.

        Raises:
            FeatmixError: If a loader has ``in_order=False`` and is amid an epoch.

        Example:
            >>> import torch
            >>> train = [(torch.rand(3, 8, 8), label) for label in (0, 1, 2, 3)]
            >>> pipeline = Pipeline(seed=0)
            >>> loader = pipeline.loader(train, batch_size=1, shuffle=True)
            >>> batches = iter(loader)
            >>> _ = next(batches)
            >>> again = Pipeline(seed=0)
            >>> resumed = again.loader(train, batch_size=1, shuffle=True)
            >>> again.load_state_dict(pipeline.state_dict())
            >>> [label for _, label in batches] == [label for _, label in resumed]
            True
        """
        return self._numbering.state(self.seed)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken: each loader's next pass finishes the epoch that was begun.

        Make data sets and loaders in the same order as in the run that was saved, before this or after it.

        Raises:
            FeatmixError: If it is no such state, or that of another pipeline; then nothing is changed.
        """
        self._numbering.load(state, self.seed)

    # -- batches ---------------------------------------------------------------------------------------------------

    def attach(
        self, model: nn.Module, *, example: Any = None, seed: int | None = None, input: str | int | None = None
    ) -> PipelineMixer:
        """Attach ``mix`` to a model; the mixer's ``prepare`` applies ``batch``, its ``draw`` decides what is mixed.

        Args:
            model: See :func:`featmix.attach`.
            example: A batch as the loader gives it; it goes through ``batch`` first. See :func:`featmix.attach`.
            seed: Another one than the pipeline's.
            input: Which of the model's arguments the batch is. See :func:`featmix.attach`.

        Raises:
            FeatmixError: As :func:`featmix.attach` does.
        """
        if not isinstance(model, nn.Module):
            raise FeatmixError("Pipeline.attach", "model", expected="a torch.nn.Module", got=type(model).__name__)
        seed = self.seed if seed is None else seed
        mixer = PipelineMixer(model, self.tree or NoMix(), self.batch, seed=seed, input=input)
        if example is not None:
            try:
                mixer.learn_shapes(self._after_batch(example, Wanted.of(unwrap(model), input)))
            except BaseException:
                mixer.remove()
                raise
        return mixer

    def summary(self) -> str:
        """Return a table of the parts: where each runs, and whether it mixes labels.

        Example:
            >>> import featmix as fm
            >>> print(Pipeline(mix={"input": fm.CutMix(p=0.5), "layer1": fm.MixStyle()}).summary())
            part  where   what                                       labels
            mix   input   CutMix(alpha=1.0, loss_weight=1.0, p=0.5)  mixed
            mix   layer1  MixStyle(norm='in', alpha=0.1, p=0.5)      stay
            seed          torch's
        """
        return summary(self.sample, self.batch, self.tree, self.seed)

    def preview(
        self,
        images: Any,
        labels: Any = None,
        *,
        model: nn.Module | None = None,
        classes: Sequence[str] | None = None,
        progress: float = 0.5,
        seed: int = 0,
    ) -> Any:
        """A picture of images before and after ``sample``, ``batch`` and ``mix`` at the input, with the label shares.

        Masks and boxes are drawn over images that are not mixed. Shares are those of the whole tree, hidden layers included.
        One step is drawn; the pipeline's own streams, the model and the global generators stay as they are.

        Args:
            images: A batch ``(B, C, H, W)``, or a list of images as :meth:`dataset` takes them.
            labels: One for each.
            model: Needed for strategies in hidden layers that decide for a resolution.
            classes: What class indices stand for.
            progress: How far training is, for settings that are schedules.
            seed: Of the step; another one shows another.

        Returns:
            A :class:`matplotlib.figure.Figure`.

        Raises:
            FeatmixError: If matplotlib is not installed, there is nothing to show, or a model is needed.
        """
        from featmix.pictures import names_of
        from featmix.pipeline.overlay import laid_on
        from featmix.pipeline.preview import one_step, picture, transformed_items

        before = [as_float_image(take_apart(image, self._names).images[0]) for image in images]
        if not before:
            raise FeatmixError("Pipeline.preview", "images", expected="at least one", got="none")
        names = names_of(labels, len(before), classes, "Pipeline.preview")
        after, moved = transformed_items(self.sample, self.batch, images, seed, self._names)
        laid = [laid_on(image, self._names, self.sample) for image in images], moved
        if self.tree is None:
            return picture(before, after, Mixture.identity(len(after)), names, laid)
        shapes = self._shapes(model, after)
        drawn = one_step(self.tree, after, shapes, target=labels, progress=progress, seed=seed)
        return picture(before, *drawn, names, laid)

    def _shapes(self, model: nn.Module | None, example: Tensor) -> dict[str, tuple[int, ...]]:
        if model is None or self.tree is None:
            return {}
        with Mixer(model, self.tree, generator=None, seed=0) as mixer:
            mixer.learn_shapes(example)
            return mixer.shapes

    def _after_batch(self, example: Any, wanted: Wanted) -> Any:
        if self.batch is None:
            return example
        x = batch_of(example, wanted, who="Pipeline.attach", mixed=True)
        with drawing(0, x.device):
            done, _ = apply_to_batch(self.batch, x, ())
        return replace(example, x, lambda _: done)

    def __repr__(self) -> str:
        told = [f"{name}={value!r}" for name, value in (("sample", self.sample), ("batch", self.batch)) if value is not None]
        told += [] if self.tree is None else [f"mix={self.tree!r}"]
        told += [] if self.seed is None else [f"seed={self.seed}"]
        entries = (("images", self.images), ("masks", self.masks), ("stay", self.stay or None))
        told += [f"{name}={value!r}" for name, value in entries if value is not None]
        lines = ",\n".join(told).replace("\n", "\n    ")
        return f"Pipeline(\n    {lines},\n)" if told else "Pipeline()"
