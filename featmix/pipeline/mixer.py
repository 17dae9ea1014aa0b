"""A mixer that also applies the ``batch`` part of a pipeline, before it draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from featmix.checks import whole
from featmix.errors import FeatmixError
from featmix.mixer.mix import Mix
from featmix.mixer.mixer import LABELS, Mixer
from featmix.mixer.tree import Tree
from featmix.pipeline.batch import apply_to_batch, apply_to_tables, check_are_maps
from featmix.pipeline.by_view import ByView
from featmix.pipeline.coordinates import Tables
from featmix.pipeline.detection import are_detections
from featmix.pipeline.following import Followed, Following
from featmix.pipeline.generators import mixed
from featmix.pipeline.names import Name
from featmix.pipeline.normalization import Normalization
from featmix.pipeline.origin import library_of
from featmix.pipeline.prepared import Prepared
from featmix.pipeline.ranges import Ranges
from featmix.pipeline.rows_apart import check_rows_apart
from featmix.pipeline.unprepared import UnpreparedPreHook
from featmix.seeding import derived, rank, seeded
from featmix.strategies.base import Strategy
from featmix.strategies.border import Chosen, Partners
from featmix.strategies.params import Params
from featmix.support.arguments import helpful


class PipelineMixer(Mixer):
    """The :class:`~featmix.Mixer` of :meth:`featmix.Pipeline.attach`, with the additional method :meth:`prepare`.

    Args:
        model: The model.
        tree: Strategies at sites.
        batch: The ``batch`` part, or ``None``.
        normalization: Applied after ``batch``, in eval mode too; or ``None``.
        seed: Seed of all random numbers of the mixer, together with the rank.
        input: Which argument of the model is the batch; see :func:`featmix.attach`.
        following: How detection targets follow the images.
    """

    def __init__(
        self,
        model: nn.Module,
        tree: Tree,
        batch: Any,
        normalization: Normalization | None = None,
        *,
        seed: int | None,
        input: str | int | None = None,
        following: Following | None = None,
    ) -> None:
        self._batch, self._normalization = batch, normalization
        self._ranges = Ranges(normalization)
        super().__init__(model, tree, generator=None, seed=seed, input=input)
        self._following = following or Following()
        self._follows: Followed | None = None  # during a draw for detection
        self._batches = 0  # that were transformed
        self._prepared = Prepared()
        self._tried = library_of(batch) != "" or isinstance(batch, Strategy)  # known by its class

    def prepare(self, images: Any, *masks: Tensor, boxes: Any = None, keypoints: Any = None) -> Any:
        """Apply the ``batch`` part to a training batch, and normalize batches of training and evaluation.

        In eval mode the ``batch`` part is skipped; without ``normalize`` all inputs are then returned unchanged. Only images
        are normalized: bytes are divided by 255 first, floats must have the units of mean and standard deviation. The range of
        the first batches is checked, with a warning if it does not fit the transforms or the normalization.

        Transforms that use global generators draw from the mixer's own seed here, and the global generators stay as they were.
        In training, every batch must go through this method before ``draw``.

        Args:
            images: ``(B, C, H, W)``, floating, on the device where they are transformed. Views of samples, in a list or a
                dictionary of lists, are transformed one batch after the other, each with its own random parameters.
            masks: Maps that geometric transforms move with the images, ``(B, H, W)`` or ``(B, K, H, W)``, of any dtype.
            boxes: One table ``(N, 4)`` for each image, as a list or as one tensor ``(B, N, 4)``: corners ``x, y, x, y`` in
                pixels, or the format of torchvision's ``BoundingBoxes``. They are moved, not clipped.
            keypoints: One table ``(N, 2)`` for each image, as a list or as one tensor.

        Returns:
            The images; or, if more was given, a tuple of images, masks, boxes and keypoints, without those not given.

        Raises:
            FeatmixError: If the transform returns another number of rows, or cannot move one of the inputs; or if the number
                of channels is not that of mean and standard deviation.

        Warns:
            FeatmixWarning: If images are outside the expected range, or look normalized already.
        """
        views = _are_views(images)
        if views and not masks and boxes is None and keypoints is None:
            if isinstance(images, Mapping):
                return {name: self.prepare(group) for name, group in images.items()}
            return [self.prepare(view) for view in images]
        if not isinstance(images, Tensor) or images.ndim == 0:
            fix = "Prepare each view with its masks by itself." if views else ""
            raise FeatmixError("Mixer.prepare", "images", expected="a batch of images", got=type(images).__name__, fix=fix)
        for mask in masks:
            if not isinstance(mask, Tensor) or mask.ndim < 2 or len(mask) != len(images):
                got = f"shape {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
                raise FeatmixError("Mixer.prepare", "masks", expected=f"maps of {len(images)} rows", got=got)
        given = [Tables.of(value, name, len(images)) for value, name in ((boxes, "boxes"), (keypoints, "keypoints"))]
        done, maps, back = images, masks, [table.given for table in given]
        if self._batch is not None and self._root.training:
            check_are_maps(self._batch, images, masks)
            self._check_rows_apart(images, masks)
            with drawing(self._next_seed(), images.device):
                if any(table.tables for table in given):
                    done, moved, *tables = apply_to_tables(
                        self._batch, images, masks, given[0].tables, given[1].tables, "batch"
                    )
                    maps = tuple(moved)
                    back = [one.again(new, done.shape[-2:]) for one, new in zip(given, tables, strict=True)]
                else:
                    done, maps = apply_to_batch(self._batch, images, masks)
            self._ranges.transformed(images, done)
        if self._normalization is not None:
            self._ranges.normalized(done, training=self._root.training)
            done = self._normalization(done)
        if self._prepares:
            self._prepared.note(images, done)
        more = [value for value in back if value is not None]
        return (done, *maps, *more) if masks or more else done

    @helpful("Mixer.draw", LABELS, write="mixer.draw(images, target=labels)")
    def draw(
        self,
        images: Any,
        target: Any = None,
        domain: Tensor | None = None,
        mask: Tensor | Mapping[str, Tensor] | None = None,
        *,
        partner: Partners | None = None,
        rows: Chosen | None = None,
        view: Name | None = None,
    ) -> Mix:
        """Draw as :meth:`featmix.Mixer.draw` does, for the images that :meth:`prepare` returned.

        Detection targets are a list with a dictionary for each image, ``{"boxes": (N, 4), "labels": (N,), ...}``, or a
        dictionary of such lists. They follow the mixing at the input, and :attr:`featmix.Mix.targets` are the new targets for
        the detector. Pass them before they are moved to a device: otherwise each step waits for the device.

        A pipeline with ``mix_views`` needs ``view``, the name or position of the view that these images are.

        Raises:
            FeatmixError: If the pipeline has a ``batch`` part or normalizes, and these images did not go through ``prepare``,
                or are its input instead of its result; if several views are given at once; if boxes, or entries that belong to
                them, cannot follow; or if ``view`` is missing.
        """
        if _are_views(images):
            fix = "Each has a decision of its own: for view in views: mix = mixer.draw(view, ...); output = model(view)."
            raise FeatmixError("Mixer.draw", "images", expected="one batch", got="several views", fix=fix)
        if self._prepares:
            self._prepared.check(self._drawn_for(images))
        self._choose(view)
        if not are_detections(target):
            return super().draw(images, target, domain, mask, partner=partner, rows=rows)
        x = self._drawn_for(images)
        follows = self._following.of(target, x, [self._leaves[key] for key in self._order], mask)
        if not self._root.training:
            follows.stay()
        self._follows = follows
        try:
            mix = super().draw(images, None, domain, mask, partner=partner, rows=rows)
        finally:
            self._follows = None
        mix.carry(follows.targets)
        return mix

    def _choose(self, view: Name | None) -> None:
        tree = self.acting
        if isinstance(tree, ByView):
            tree.chosen = tree.number(view, "Mixer.draw")
        elif view is not None:
            fix = "Pipeline(mix_views=...) has a tree for each view."
            raise FeatmixError("Mixer.draw", "view", expected="None, for one tree", got=repr(view), fix=fix)

    def _decided(self, drawn: dict[str, Params]) -> None:
        if self._follows is not None:
            self._follows.go([drawn[key] for key in self._order])

    @property
    def _prepares(self) -> bool:
        """Whether a batch must go through ``prepare`` before a draw."""
        return bool(self._root.training) and (self._batch is not None or self._normalization is not None)

    def learn_shapes(self, example: Any) -> None:
        """Learn shapes as :meth:`featmix.Mixer.learn_shapes` does, from an example in the form that the model takes."""
        awaits, self._ranges.awaits_evaluation = self._ranges.awaits_evaluation, False
        try:
            super().learn_shapes(example)
        finally:
            self._ranges.awaits_evaluation = awaits

    def _hook(self) -> None:
        super()._hook()
        if self._normalization is not None:
            look = UnpreparedPreHook(self._switch, self._ranges)
            self._switch.handles.append(self._root.register_forward_pre_hook(look, with_kwargs=True))

    def _own_state(self) -> dict[str, Any]:
        """Return this rank's state, including the draws of the ``batch`` part."""
        return {**super()._own_state(), "batch": self._batches}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state of ``state_dict``.

        Raises:
            FeatmixError: If it is not such a state; then nothing changes.
        """
        mine = self._meant_for_this_rank(state)
        found = self._validated(mine, more=("batch",))
        batches = whole("Mixer.load_state_dict", "batch", mine["batch"])
        self._assign(found)
        self._batches = batches

    def _check_rows_apart(self, images: Tensor, masks: tuple[Tensor, ...]) -> None:
        """Test a callable of unknown origin, once."""
        if not self._tried and not masks:
            self._tried = True
            check_rows_apart(self._batch, images, lambda number: drawing(number, images.device))

    def _next_seed(self) -> int:
        self._batches += 1
        return mixed(derived(self._seed, rank(), 1), self._batches)


def _are_views(images: Any) -> bool:
    if isinstance(images, Mapping) and images:
        return all(isinstance(group, list) and _are_views(group) for group in images.values())
    return isinstance(images, list) and bool(images) and all(isinstance(x, Tensor) and x.ndim > 3 for x in images)


@contextmanager
def drawing(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators, also that of a CUDA device, and restore them afterwards."""
    with seeded(seed):
        if device.type != "cuda":
            yield
            return
        with torch.random.fork_rng(devices=[device]), torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
            yield
