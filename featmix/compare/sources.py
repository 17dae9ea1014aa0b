"""Sources of images, and their splits: nothing seen in training is tested on.

A source knows domains (looks) and classes (contents). Two kinds exist. In a `RenderedSource` every image is shown in every
style, so the *underlying* images are split first and rendered afterwards. In a `PhotoSource` each image belongs to one
domain, so each domain is split by itself, and all of a domain that was left out may be tested on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from featmix.compare.splitting import TEST_SHARE, draw_stratified, split_stratified
from featmix.compare.styles import VERSION, chosen_styles, render
from featmix.errors import FeatmixError, nearest

Bytes = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]

_SHOWN = 6  # how many names are said
_SPLITTING, _LIMITING = 11, 12  # keep the two uses of a seed apart


@dataclass(frozen=True)
class Images:
    """Images in memory: `pixels` (N, 3, H, W) uint8, `labels` (N,) int64, `domains` (N,) int64."""

    pixels: Tensor
    labels: Tensor
    domains: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, mask: Tensor) -> Images:
        """Return the rows where the mask, of shape (N,), is true."""
        return Images(self.pixels[mask], self.labels[mask], self.domains[mask])

    def to(self, device: torch.device) -> Images:
        """Return the images on a device."""
        return Images(self.pixels.to(device), self.labels.to(device), self.domains.to(device))

    @staticmethod
    def join(parts: list[Images]) -> Images:
        """Return all rows of several parts, in order."""
        columns = zip(*((part.pixels, part.labels, part.domains) for part in parts), strict=True)
        return Images(*(torch.cat(column) for column in columns))


@dataclass(frozen=True)
class Trial:
    """The images that one run trains and tests on; `unseen` is None if no domain is left out."""

    train: Images
    seen: Images
    unseen: Images | None


@dataclass(frozen=True, eq=False)
class Source(ABC):
    """A data set as it was read.

    Args:
        name: Name, as the user wrote it.
        classes: Names of the classes; labels index them.
        domains: Names of the domains; domain labels index them.
        labels: Class of each image, of shape (N,), int64.
        fingerprint: Changes when the files behind the source change.
        notes: Remarks from reading it, for readers of the results.
    """

    name: str
    classes: tuple[str, ...]
    domains: tuple[str, ...]
    labels: Indices
    fingerprint: str
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def held_out_choices(self) -> tuple[str, ...]:
        """The domains to leave out in turn; one empty name if there is only one domain, which cannot be left out."""
        return self.domains if len(self.domains) > 1 else ("",)

    @property
    def test_share(self) -> float | None:
        """Share of the images that each seed draws for testing; None if all seeds test on the same images."""
        return TEST_SHARE

    @property
    @abstractmethod
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images, in pixels."""

    @property
    @abstractmethod
    def size_in_bytes(self) -> int:
        """Size of all images in bytes."""

    @property
    def about(self) -> str:
        """A description in one line; empty for well-known data sets."""
        return ""

    def trial(self, seed: int, held_out: str, limit: int | None = None) -> Trial:
        """Split with a seed and leave a domain out.

        Args:
            seed: Decides which images are for testing; the same for every held-out domain.
            held_out: A domain's name, or empty to leave none out.
            limit: Largest number of training images per domain.

        Raises:
            FeatmixError: for an unknown domain.
        """
        train, test = self._parts(seed, limit)
        if not held_out:
            return Trial(train, test, None)
        if held_out not in self.domains:
            fix = nearest(held_out, self.domains)
            raise FeatmixError(self.name, "held_out", expected="a domain", got=repr(held_out), fix=fix)
        out = self.domains.index(held_out)
        unseen = self._unseen(train.where(train.domains == out), test.where(test.domains == out))
        return Trial(train.where(train.domains != out), test.where(test.domains != out), unseen)

    @lru_cache(maxsize=1)  # noqa: B019 - one source lives as long as its process
    def _parts(self, seed: int, limit: int | None) -> tuple[Images, Images]:
        return self._split(seed, limit)

    @abstractmethod
    def _split(self, seed: int, limit: int | None) -> tuple[Images, Images]:
        """Return training and test images of all domains."""

    @abstractmethod
    def _unseen(self, train: Images, test: Images) -> Images:
        """Return the test images of a domain that was left out, given its training and test parts."""


@dataclass(frozen=True, eq=False)
class RenderedSource(Source):
    """Grey images, of shape (N, H, W), rendered in several styles.

    Args:
        grey: uint8; 0 is background.
        official_test: Boolean (N,), true for images of an official test set; None if the seed draws one.
    """

    grey: Bytes
    official_test: npt.NDArray[np.bool_] | None = None

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images, in pixels."""
        return self.grey.shape[1], self.grey.shape[2]

    @property
    def test_share(self) -> float | None:
        """Share of the images that each seed draws for testing; None with an official test set."""
        return TEST_SHARE if self.official_test is None else None

    @property
    def size_in_bytes(self) -> int:
        """Size of all images in all styles, in bytes."""
        return 3 * len(self.domains) * self.grey.size

    def _split(self, seed: int, limit: int | None) -> tuple[Images, Images]:
        if self.official_test is None:
            train, test = split_stratified(self.labels, np.random.default_rng((seed, _SPLITTING)))
        else:
            train, test = np.flatnonzero(~self.official_test), np.flatnonzero(self.official_test)
            # No more test images than training images: a small experiment should not spend its time on testing.
            test = test[draw_stratified(self.labels[test], limit, np.random.default_rng((seed, _SPLITTING)))]
        train = train[draw_stratified(self.labels[train], limit, np.random.default_rng((seed, _LIMITING)))]
        return self._render(train), self._render(test)

    def _render(self, index: Indices) -> Images:
        styled = [torch.from_numpy(render(self.grey[index], style, index)) for style in self.domains]
        labels = torch.from_numpy(self.labels[index]).repeat(len(self.domains))
        return Images(torch.cat(styled), labels, torch.arange(len(self.domains)).repeat_interleave(len(index)))

    def _unseen(self, train: Images, test: Images) -> Images:
        return test  # the contents of `train` were trained on, in other styles


@dataclass(frozen=True, eq=False)
class PhotoSource(Source):
    """Color images, of shape (N, 3, H, W), each of one domain.

    Args:
        pixels: uint8.
        domain_labels: Of shape (N,), int64.
        official_test: Boolean (N,), true for images of an official test set; None if the seed draws one.
    """

    pixels: Bytes
    domain_labels: Indices
    official_test: npt.NDArray[np.bool_] | None = None

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images, in pixels."""
        return self.pixels.shape[2], self.pixels.shape[3]

    @property
    def test_share(self) -> float | None:
        """Share of the images that each seed draws for testing; None with an official test set."""
        return TEST_SHARE if self.official_test is None else None

    @property
    def size_in_bytes(self) -> int:
        """Size of all images in bytes."""
        return self.pixels.size

    @property
    def about(self) -> str:
        """A line with the number of images, classes and domains, and how test images are chosen."""
        split = "a seed decides which are tested on"
        if self.official_test is not None:
            split = f"{(~self.official_test).sum()} to train and {self.official_test.sum()} to test on"
        height, width = self.image_size
        return (
            f"{self.name}: {len(self.labels)} images of {height} x {width}, {_named(self.classes, 'classes')}, "
            f"{_named(self.domains, 'domains')}; {split}"
        )

    def _split(self, seed: int, limit: int | None) -> tuple[Images, Images]:
        training, testing = [], []
        for domain in range(len(self.domains)):
            index = np.flatnonzero(self.domain_labels == domain)
            splitting = np.random.default_rng((seed, _SPLITTING, domain))
            if self.official_test is None:
                train, test = split_stratified(self.labels[index], splitting)
            else:
                train, test = np.flatnonzero(~self.official_test[index]), np.flatnonzero(self.official_test[index])
                test = test[draw_stratified(self.labels[index][test], limit, splitting)]
            kept = draw_stratified(self.labels[index][train], limit, np.random.default_rng((seed, _LIMITING, domain)))
            training.append(index[train][kept])
            testing.append(index[test])
        return self._images(np.concatenate(training)), self._images(np.concatenate(testing))

    def _images(self, index: Indices) -> Images:
        columns = (self.pixels, self.labels, self.domain_labels)
        return Images(*(torch.from_numpy(column[index]) for column in columns))

    def _unseen(self, train: Images, test: Images) -> Images:
        return Images.join([train, test])  # no image of this domain was trained on


def _named(names: tuple[str, ...], what: str) -> str:
    if len(names) == 1:
        return f"1 {what.removesuffix('s')}"  # of classes there are at least two
    more = ", ..." if len(names) > _SHOWN else ""
    return f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{more})"


def rendered(
    name: str,
    grey: Bytes,
    labels: Indices,
    classes: tuple[str, ...],
    fingerprint: str,
    official_test: npt.NDArray[np.bool_] | None = None,
    styles: str = "",
) -> RenderedSource:
    """Return a source of grey images in styles, see `featmix.compare.styles.chosen_styles`."""
    return RenderedSource(name, classes, chosen_styles(styles), labels, f"{fingerprint}-{VERSION}", grey, official_test)
