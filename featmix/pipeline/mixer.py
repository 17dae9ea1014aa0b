"""A mixer that also applies the ``batch`` part, before it draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Generator, Tensor, nn

from featmix.errors import FeatmixError
from featmix.mixer.checked_state import checked_bits
from featmix.mixer.mix import Mix
from featmix.mixer.mixer import Mixer
from featmix.mixer.tree import Compose, Tree
from featmix.pipeline.batch import apply_to_batch
from featmix.seeding import derived, rank, seeded
from featmix.strategies.border import Chosen, Partners


class NoMix(Compose):
    """The tree of a pipeline without ``mix``: nothing is drawn, and labels stay."""

    def __init__(self) -> None:
        self.members, self.share_partner = (), False


class PipelineMixer(Mixer):
    """The :class:`~featmix.Mixer` that :meth:`featmix.Pipeline.attach` makes, with one more method.

    Args:
        model: The model.
        tree: What is mixed, and where.
        batch: The ``batch`` part, or ``None``.
        seed: Of everything that is drawn here, together with the rank.
        input: Which argument the batch is; see :func:`featmix.attach`.
    """

    def __init__(self, model: nn.Module, tree: Tree, batch: Any, *, seed: int | None, input: str | int | None = None) -> None:
        super().__init__(model, tree, generator=None, seed=seed, input=input)
        self._batch = batch
        self._stream: Generator | None = None
        self._stream_rank = 0
        self._untouched: Tensor | None = None  # what prepare was last given, where it gave back something else

    def prepare(self, images: Tensor, *masks: Tensor) -> Any:
        """Apply the ``batch`` part to a training batch; in eval mode, or without such a part, everything comes back as it is.

        What kornia, torchvision and other callables draw from global generators is drawn from the mixer's own seed, and the
        global generators are left as they were.

        Args:
            images: ``(B, C, H, W)``, floating, on the device where they are to be transformed.
            masks: Maps that geometric transforms move along, ``(B, H, W)`` or ``(B, K, H, W)``, of any dtype.

        Returns:
            The images, or ``(images, *masks)`` where masks are given.

        Raises:
            FeatmixError: If the transform does not return as many rows as it was given.
        """
        if not isinstance(images, Tensor) or images.ndim == 0:
            raise FeatmixError("Mixer.prepare", "images", expected="a batch of images", got=type(images).__name__)
        for mask in masks:
            if not isinstance(mask, Tensor) or mask.ndim < 2 or len(mask) != len(images):
                got = f"shape {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
                raise FeatmixError("Mixer.prepare", "masks", expected=f"maps of {len(images)} rows", got=got)
        done, maps = images, masks
        if self._batch is not None and self._root.training:
            with drawing(self._next_seed(), images.device):
                done, maps = apply_to_batch(self._batch, images, masks)
            self._untouched = images if done is not images else None
        return (done, *maps) if masks else done

    def draw(
        self,
        images: Any,
        target: Tensor | None = None,
        domain: Tensor | None = None,
        mask: Tensor | Mapping[str, Tensor] | None = None,
        *,
        partner: Partners | None = None,
        rows: Chosen | None = None,
    ) -> Mix:
        """Draw as :meth:`featmix.Mixer.draw` does, for the images that :meth:`prepare` returned.

        Raises:
            FeatmixError: If these are the images that went into ``prepare`` and not those that came out, also.
        """
        if self._untouched is not None and self._drawn_for(images) is self._untouched:
            fix = "Write images = mixer.prepare(images), and go on with those."
            raise FeatmixError("Mixer.draw", "images", expected="what prepare gave back", got="what it was given", fix=fix)
        self._untouched = None
        return super().draw(images, target, domain, mask, partner=partner, rows=rows)

    def _own_state(self) -> dict[str, Any]:
        """Return this rank's state, the stream of the ``batch`` part included; another rank continues in one of its own."""
        return {**super()._own_state(), "batch": self._own_stream().get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken.

        Raises:
            FeatmixError: If it is no such state; then nothing has changed.
        """
        mine = self._meant_for_this_rank(state)
        found = self._validated(mine, more=("batch",))
        bits = checked_bits("batch", mine["batch"], torch.device("cpu"))
        self._assign(found)
        self._stream, self._stream_rank = Generator().set_state(bits), found.rank

    def _next_seed(self) -> int:
        return _number(self._own_stream())

    def _own_stream(self) -> Generator:
        if self._stream is None:
            self._stream, self._stream_rank = Generator().manual_seed(derived(self._seed, rank(), 1)), rank()
        elif self._stream_rank != rank():  # loaded, or copied, by another rank than the one that has drawn from it
            self._stream.manual_seed(derived(self._seed, rank(), 1, _number(self._stream)))
            self._stream_rank = rank()
        return self._stream


def _number(generator: Generator) -> int:
    return int(torch.randint(2**63 - 1, (), generator=generator))


@contextmanager
def drawing(seed: int, device: torch.device) -> Iterator[None]:
    """Global generators seeded, that of a CUDA device too, and put back afterwards."""
    with seeded(seed):
        if device.type != "cuda":
            yield
            return
        with torch.random.fork_rng(devices=[device]), torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
            yield
