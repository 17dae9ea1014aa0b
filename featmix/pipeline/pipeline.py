"""Augmentation of inputs and mixing of features in one object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from typing import Any

from torch import Tensor, nn

from featmix.checks import in_range, whole
from featmix.errors import FeatmixError, nearest
from featmix.labels.mixture import Mixture
from featmix.mixer.containers import replace
from featmix.mixer.given import Wanted, batch_of
from featmix.mixer.mixer import Mixer
from featmix.mixer.sites import unwrap
from featmix.mixer.tree import Tree, as_tree
from featmix.pipeline.batch import apply_to_batch
from featmix.pipeline.by_view import ByView, NoMix
from featmix.pipeline.check_labels import check_transform
from featmix.pipeline.check_normalize import check_normalizes_once
from featmix.pipeline.collate import collate
from featmix.pipeline.dataset import Transformed, TransformedStream
from featmix.pipeline.evaluation import Evaluated, EvaluatedStream, evaluated
from featmix.pipeline.following import MIN_VISIBLE, Following
from featmix.pipeline.images import as_float_image
from featmix.pipeline.items import take_apart
from featmix.pipeline.loader import PipelineLoader
from featmix.pipeline.mixer import PipelineMixer, drawing
from featmix.pipeline.names import Name, Names, box_forms, names_for
from featmix.pipeline.normalization import NORMALIZE, Normalization, without_normalization
from featmix.pipeline.numbering import Numbering
from featmix.pipeline.order import with_own_order
from featmix.pipeline.table import summary
from featmix.pipeline.wrapping import work_for, wrapped
from featmix.seeding import seed_worker
from featmix.strategies.base import Strategy
from featmix.support.arguments import helpful


class Pipeline:
    """All augmentations of images and features in training: transforms of samples and batches, normalization, and mixing.

    Only ``mix`` mixes labels, so that they are correct for any combination: a transform in ``sample`` or ``batch`` that mixes
    samples is refused. In eval mode ``batch`` and ``mix`` do nothing, and ``normalize`` works as in training; transforms for
    validation, such as resizing, belong to :meth:`eval_dataset`.

    Bytes (uint8) are divided by 255 when they become a batch, floats stay as they are: ``normalize``, and colour transforms in
    ``batch``, expect images in [0, 1].

    Args:
        sample: Transform of each sample, in the loader's workers: of albumentations, torchvision v2, or any callable that takes
            an image.
        batch: Transform of each batch, on its device: of kornia, torchvision v2 (which draws once for the whole batch), or any
            callable that takes a batch of images.
        normalize: ``(mean, std)``, each one number or one for each channel, in the units of images in a batch: [0, 1] for
            bytes. The mixer's ``prepare`` applies it after ``batch`` and before mixing, in training and in eval mode.
        mix: Strategies at sites, as :func:`featmix.attach` takes them.
        seed: Seed of everything random in the pipeline; by default, torch's default generator is used.
        images: Which entries of an item are images, if not the key ``image`` or the first entry: a key or position, or several,
            which ``sample`` transforms with the same random parameters.
        masks: Which entries are transformed with the image, if not only the key ``mask``; ``()`` for none. By default, another
            entry of the image's height and width is refused.
        stay: Entries that ``sample`` does not transform, though they look like boxes, keypoints or masks: a key or position,
            or several.
        min_visible: Boxes are dropped from :attr:`featmix.Mix.targets` if a smaller share of them is visible after mixing.
        mix_views: Replaces ``mix`` if there are several views: strategies or ``None`` for each, by the name of a group or the
            position in the list, such as ``{"weak": None, "strong": {"input": CutMix()}}``.

    Raises:
        FeatmixError: If a part is of the wrong kind, a transform mixes labels, or two parts normalize.

    Warns:
        FeatmixWarning: If a transform in ``batch`` normalizes, since evaluation then does not.

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
        normalize: tuple[Any, Any] | None = None,
        mix: Tree | Mapping[str, Strategy] | None = None,
        seed: int | None = None,
        images: Name | Sequence[Name] | None = None,
        masks: Name | Sequence[Name] | None = None,
        stay: Name | Sequence[Name] = (),
        min_visible: float = MIN_VISIBLE,
        mix_views: Mapping[Name, Any] | None = None,
    ) -> None:
        for argument, transform in (("sample", sample), ("batch", batch)):
            if transform is not None:
                check_transform(argument, transform)
        self._normalization = None if normalize is None else Normalization.of(normalize)
        check_normalizes_once(sample, batch, normalize)
        self.sample, self.batch = sample, batch
        self.seed = None if seed is None else whole("Pipeline", "seed", seed)
        self.mix = dict(mix) if isinstance(mix, Mapping) else mix
        self.mix_views = None if mix_views is None else dict(mix_views) if isinstance(mix_views, Mapping) else mix_views
        if mix is not None and mix_views is not None:
            raise FeatmixError("Pipeline", "mix_views", expected="mix= or mix_views=", got="both")
        self.tree = ByView.of(mix_views) if mix_views is not None else None if mix is None else as_tree(mix)
        self._names = names_for(images, masks, sample, stay)
        self._numbering = Numbering()
        self.min_visible = in_range("Pipeline", "min_visible", min_visible, 0, 1)

    def replace(self, **parts: Any) -> Pipeline:
        """Return a new pipeline with some parts replaced; its random numbers start from the beginning.

        Args:
            parts: Arguments of the class.

        Raises:
            FeatmixError: As the class does, and for an unknown argument.

        Example:
            >>> Pipeline(sample=lambda image: image, seed=0).replace(seed=1).seed
            1
        """
        own = {name: getattr(self, name) for name in signature(type(self)).parameters}
        unknown = next((name for name in parts if name not in own), None)
        if unknown is not None:
            raise FeatmixError("Pipeline", unknown, expected="an argument of Pipeline", got=unknown, fix=nearest(unknown, own))
        return type(self)(**{**own, **parts})

    @property
    def normalize(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and standard deviation, one for each channel or one for all."""
        return None if self._normalization is None else (self._normalization.mean, self._normalization.std)

    @property
    def images(self) -> tuple[Name, ...] | None:
        """The entries of an item that are images; ``None`` for the key ``image``, or the first entry."""
        return self._names.images

    @property
    def masks(self) -> tuple[Name, ...] | None:
        """The entries of an item that are transformed with the image; ``None`` for the key ``mask``."""
        return self._names.masks

    @property
    def names(self) -> Names:
        """The roles of all entries of an item."""
        return self._names

    @property
    def stay(self) -> tuple[Name, ...]:
        """The entries that are not transformed, even if they look like targets."""
        return self._names.stay

    # -- samples ---------------------------------------------------------------------------------------------------

    def dataset(self, source: Any, *, views: Any = None) -> Transformed | TransformedStream:
        """Return a data set whose items are transformed by ``sample``: map-style, or iterable if the source is.

        Data sets are numbered in the order of creation, and each has its own random numbers.

        Args:
            source: A data set of images, ``(image, label)``, ``(image, mask)`` with ``masks=1``, or dictionaries with ``image``
                and ``mask``; images are PIL images, arrays ``(H, W, C)`` or tensors ``(C, H, W)``. A data set made by this
                pipeline, or a ``ConcatDataset`` of such data sets, is not transformed again.
            views: Several views of each sample: their number, each made by ``sample``; a list of transforms, one for each view;
                or groups by name, each a number, ``(transform, count)`` or a list of transforms. Each image is then replaced by
                a list of its views, or a dictionary of such lists; labels stay.

        Raises:
            FeatmixError: If it is no data set, only some of its parts were made by this pipeline, or ``views`` is of another
                kind.
        """
        work = work_for(source, views, self.sample, self._names, self._numbering.family)
        return source if work is None else wrapped(source, work, self._numbering.stream(self.seed))

    def eval_dataset(self, source: Any, *, sample: Any = None) -> Evaluated | EvaluatedStream:
        """Return a data set for evaluation: each item is transformed by ``sample``, and its images are normalized.

        Pass its batches to the model without ``prepare``, which would normalize again. It is not numbered among the pipeline's
        data sets, and leaves generators as they are: an item is the same at each read.

        Args:
            source: As for :meth:`dataset`, but not a data set made by this pipeline.
            sample: Transform of each sample in evaluation, such as resizing and cropping; of the same kinds as ``sample`` in
                training.

        Raises:
            FeatmixError: If it is no data set, or one for training; or if ``sample`` is no transform, mixes samples, or
                normalizes a second time.

        Example:
            >>> import torch
            >>> pipeline = Pipeline(normalize=(0.5, 0.25))
            >>> test = pipeline.eval_dataset([(torch.full((3, 8, 8), 255, dtype=torch.uint8), 1)])
            >>> float(test[0][0].mean())
            2.0
        """
        if sample is not None:
            check_transform("sample", sample, who="Pipeline.eval_dataset")
            check_normalizes_once(sample, None, self.normalize, who="Pipeline.eval_dataset")
        names = names_for(self.images, self.masks, sample, self.stay)
        return evaluated(source, sample, names, self._normalization)

    @property
    def collate(self) -> Callable[[Sequence[Any]], Any]:
        """For ``DataLoader(collate_fn=...)``: see :func:`featmix.pipeline.collate.collate`."""
        return collate if self._names == Names() else partial(collate, names=self._names)

    @property
    def worker_init_fn(self) -> Callable[[int], None]:
        """For ``DataLoader(worker_init_fn=...)``: see :func:`featmix.seeding.seed_worker`."""
        return seed_worker(self.sample, seed=self.seed or 0)

    def loader(self, source: Any, *, views: Any = None, **settings: Any) -> PipelineLoader:
        """Return a ``DataLoader`` over :meth:`dataset`; with the pipeline's seed, its order is repeatable too.

        Order and random numbers depend on the seed, the rank, the data set's number, the epoch and the position in it, not on
        the number of workers; :meth:`state_dict` saves the position. Samplers without a generator get one, and ``set_epoch`` is
        called unless you do; a sampler that draws from global generators has to be seeded by you.

        Args:
            source: See :meth:`dataset`.
            views: See :meth:`dataset`.
            settings: Other arguments of ``torch.utils.data.DataLoader``; they override the pipeline's.

        Raises:
            FeatmixError: As :meth:`dataset` does, or if a loaded state has no such loader.
        """
        dataset = self.dataset(source, views=views)
        stream = self._numbering.stream(self.seed) if dataset is source else dataset.stream
        own = {"collate_fn": self.collate, "worker_init_fn": self.worker_init_fn}
        loader = PipelineLoader(dataset, **{**own, **with_own_order(dataset, settings, stream.first_seed)})
        self._numbering.follow(loader, stream)
        return loader

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the pipeline's loaders and data sets, such as epochs and positions, for a resumed run.

        The random numbers of ``mix`` and ``batch`` are in the ``state_dict`` of the mixer; save both. The state of one rank is
        enough for all ranks, unless you use your own generators.

        Raises:
            FeatmixError: If a loader has ``in_order=False`` and is in the middle of an epoch.

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
        state = self._numbering.state(self.seed)
        return state if self.normalize is None else {**state, NORMALIZE: [list(values) for values in self.normalize]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state of :meth:`state_dict`: the next pass of each loader finishes the epoch that was begun.

        Make data sets and loaders in the same order as in the saved run, before or after this call.

        Raises:
            FeatmixError: If it is not such a state, or that of another pipeline; then nothing changes.
        """
        self._numbering.load(without_normalization(state, self._normalization), self.seed)

    # -- batches ---------------------------------------------------------------------------------------------------

    def attach(
        self, model: nn.Module, *, example: Any = None, seed: int | None = None, input: str | int | None = None
    ) -> PipelineMixer:
        """Attach ``mix`` to a model; the mixer's ``prepare`` applies ``batch``, its ``draw`` draws the mixing of each step.

        Args:
            model: See :func:`featmix.attach`.
            example: A batch from the loader; it is transformed by ``batch`` first. See :func:`featmix.attach`.
            seed: Seed of the mixer, instead of the pipeline's.
            input: Which of the model's arguments is the batch. See :func:`featmix.attach`.

        Raises:
            FeatmixError: As :func:`featmix.attach` does.
        """
        if not isinstance(model, nn.Module):
            raise FeatmixError("Pipeline.attach", "model", expected="a torch.nn.Module", got=type(model).__name__)
        seed = self.seed if seed is None else seed
        following = Following(self.min_visible, self.stay, box_forms(self.sample))
        said: dict[str, Any] = {"seed": seed, "input": input, "following": following}
        mixer = PipelineMixer(model, self.tree or NoMix(), self.batch, self._normalization, **said)
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
        return summary(self.sample, self.batch, self._normalization, self.tree, self.seed)

    def preview(
        self,
        images: Any,
        labels: Any = None,
        *,
        model: nn.Module | None = None,
        classes: Sequence[str] | None = None,
        progress: float = 0.5,
        seed: int = 0,
        view: Name | None = None,
    ) -> Any:
        """Draw images before and after ``sample``, ``batch`` and ``mix`` at the input, with the mixed label weights.

        Normalized images are mixed as in training, and shown without normalization. Masks and boxes are drawn too; for mixed
        images only boxes, if they can follow. Label weights are those of the whole tree, including hidden layers. One step is
        drawn; the pipeline's random numbers, the model and the global generators stay as they are.

        Args:
            images: A batch ``(B, C, H, W)``, or a list of images as :meth:`dataset` takes them.
            labels: One label for each image.
            model: Needed for strategies in hidden layers whose decisions depend on the resolution.
            classes: Names of the classes, by index.
            progress: Progress of training from 0 to 1, for settings that are schedules.
            seed: Seed of the step.
            view: The view whose mixing is shown, for ``mix_views``.

        Returns:
            A :class:`matplotlib.figure.Figure`.

        Raises:
            FeatmixError: If matplotlib is not installed, there are no images, or a model is needed.
        """
        from featmix.pictures import names_of
        from featmix.pipeline.overlay import laid_on
        from featmix.pipeline.preview import one_step, picture, transformed_items

        tree: Tree | None = self.tree
        if isinstance(tree, ByView):
            tree = tree.members[tree.number(view, "Pipeline.preview")]
        before = [as_float_image(take_apart(image, self._names).images[0]) for image in images]
        if not before:
            raise FeatmixError("Pipeline.preview", "images", expected="at least one", got="none")
        names = names_of(labels, len(before), classes, "Pipeline.preview")
        after, moved = transformed_items(self.sample, self.batch, images, seed, self._names)
        laid, mixture = [laid_on(image, self._names, self.sample) for image in images], Mixture.identity(len(after))
        if tree is not None:
            shapes, least = self._shapes(model, after), Following(self.min_visible)
            said: dict[str, Any] = {"target": labels, "progress": progress, "seed": seed, "laid": moved, "following": least}
            last = self._normalization
            mixed, mixture, moved = one_step(tree, after if last is None else last(after), shapes, **said)
            after = mixed if last is None else last.undone(mixed)
        return picture(before, after, mixture, names, (laid, moved))

    def _shapes(self, model: nn.Module | None, example: Tensor) -> dict[str, tuple[int, ...]]:
        if model is None or self.tree is None:
            return {}
        with Mixer(model, self.tree, generator=None, seed=0) as mixer:
            mixer.learn_shapes(example)
            return mixer.shapes

    def _after_batch(self, example: Any, wanted: Wanted) -> Any:
        if self.batch is None and self._normalization is None:
            return example
        done = x = batch_of(example, wanted, who="Pipeline.attach", mixed=True)
        if self.batch is not None:
            with drawing(0, x.device):
                done, _ = apply_to_batch(self.batch, x, ())
        if self._normalization is not None:
            done = self._normalization(done)
        return replace(example, x, lambda _: done)

    def __repr__(self) -> str:
        told = [f"{name}={value!r}" for name, value in (("sample", self.sample), ("batch", self.batch)) if value is not None]
        told += [] if self.normalize is None else [f"normalize={self.normalize!r}"]
        told += [] if self.mix is None else [f"mix={self.tree!r}"]
        told += [] if self.mix_views is None else [f"mix_views={self.mix_views!r}"]
        told += [] if self.seed is None else [f"seed={self.seed}"]
        told += [] if self.min_visible == MIN_VISIBLE else [f"min_visible={self.min_visible}"]
        entries = (("images", self.images), ("masks", self.masks), ("stay", self.stay or None))
        told += [f"{name}={value!r}" for name, value in entries if value is not None]
        lines = ",\n".join(told).replace("\n", "\n    ")
        return f"Pipeline(\n    {lines},\n)" if told else "Pipeline()"
