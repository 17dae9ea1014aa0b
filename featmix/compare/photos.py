"""A source of a user's own images: counted, checked, and described before the first run."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from featmix.compare.resources import COPIES, available_memory
from featmix.compare.sources import Bytes, Indices, PhotoSource
from featmix.errors import FeatmixError

_SHOWN = 5  # how many names a note has


@dataclass(frozen=True, eq=False)
class Photos:
    """Images in memory, with classes and domains.

    Args:
        name: Name of the data set, as the user wrote it.
        pixels: ``(N, 3, H, W)``, uint8.
        labels: For each image, an index of ``classes``.
        domain_labels: For each image, an index of ``domains``.
        classes: Names of the classes.
        domains: Names of the domains.
        test: Which images belong to an official test set; None if a seed decides.
        notes: Remarks from reading them.
    """

    name: str
    pixels: Bytes
    labels: Indices
    domain_labels: Indices
    classes: tuple[str, ...]
    domains: tuple[str, ...]
    test: npt.NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = field(default=())

    def source(self, fingerprint: str = "") -> PhotoSource:
        """Return the source, with notes on possible problems.

        Args:
            fingerprint: Fingerprint of the files; by default, that of pixels and labels.

        Raises:
            FeatmixError: If a run could not be trained or tested on the images.
        """
        check_names([*self.classes, *self.domains])
        if len(self.classes) < 2:
            raise FeatmixError(self.name, expected="at least 2 classes", got=f"only {', '.join(self.classes) or 'none'}")
        self._check_counts()
        return PhotoSource(
            name=self.name,
            classes=self.classes,
            domains=self.domains,
            labels=self.labels,
            fingerprint=fingerprint or self._fingerprint(),
            pixels=self.pixels,
            domain_labels=self.domain_labels,
            official_test=self.test,
            notes=(*self.notes, *self._missing(), *self._copies()),
        )

    def _check_counts(self) -> None:
        places = list(zip(self.domain_labels.tolist(), self.labels.tolist(), strict=True))
        if self.test is None:
            (domain, label), fewest = min(Counter(places).items(), key=lambda item: item[1])
            if fewest < 2:
                got = f"{fewest} in class {self.classes[label]!r} of {self.domains[domain]!r}"
                fix = "Some are trained on and some tested on: add images, or remove the class."
                raise FeatmixError(self.name, expected="at least 2 images per class and domain", got=got, fix=fix)
            return
        for number, domain in enumerate(self.domains):
            for test, kind in ((False, "training"), (True, "test")):
                if not ((self.domain_labels == number) & (self.test == test)).any():
                    got = f"no {kind} images of {domain!r}"
                    raise FeatmixError(self.name, expected="training and test images of each domain", got=got)

    def _missing(self) -> list[str]:
        """Return notes on classes that are missing in a domain, or in its training or test images."""
        told = []
        for number, domain in enumerate(self.domains):
            here = self.domain_labels == number
            has = set(self.labels[here].tolist())
            of_domain = f" of domain {domain!r}" if len(self.domains) > 1 else ""
            told += _lacking(f"no images{of_domain} are of", self.classes, has)
            for test, kind in ((False, "training"), (True, "test")):
                if self.test is not None:
                    split = set(self.labels[here & (self.test == test)].tolist())
                    told += _lacking(
                        f"no {kind} images{of_domain} are of", self.classes, split | (set(range(len(self.classes))) - has)
                    )
        return told

    def _copies(self) -> list[str]:
        """Return notes on exact copies of images, which can be in both training and test images."""
        first: dict[bytes, int] = {}
        digests = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in self.pixels]
        if self.test is not None:
            trained = {digest for digest, test in zip(digests, self.test, strict=True) if not test}
            count = sum(test and digest in trained for digest, test in zip(digests, self.test, strict=True))
            return [f"{count} test image(s) that are exact copies of training images"] if count else []
        copies = [(row, first.setdefault(digest, row)) for row, digest in enumerate(digests)]
        copies = [(row, other) for row, other in copies if row != other]
        if not copies:
            return []
        relabelled = sum(self.labels[row] != self.labels[other] for row, other in copies)
        elsewhere = sum(self.domain_labels[row] != self.domain_labels[other] for row, other in copies)
        more = [f"{relabelled} under another class"] * bool(relabelled) + [f"{elsewhere} in another domain"] * bool(elsewhere)
        told = f" ({', '.join(more)})" if more else ""
        return [f"{len(copies)} image(s) that are exact copies of others{told}: one may be trained on and the other tested on"]

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(repr((self.pixels.shape, self.classes, self.domains)).encode(errors="replace"))
        for column in (self.pixels, self.labels, self.domain_labels, self.test):
            if column is not None:
                digest.update(np.ascontiguousarray(column).data)
        return digest.hexdigest()[:16]


def check_names(names: Sequence[str]) -> None:
    """Refuse names of classes and domains that do not fit in a row of results, which is one line in UTF-8.

    Raises:
        FeatmixError: If a name does not fit.
    """
    for name in names:
        if len(name.splitlines()) > 1 or any("\ud800" <= c <= "\udfff" for c in name):
            raise FeatmixError("folder", "path", expected="folders with names of one line, in UTF-8", got=repr(name))


def check_room(name: str, count: int, height: int, width: int) -> None:
    """Refuse more images than fit into memory, before they are read.

    Args:
        name: Name of the data set.
        count: Number of images.
        height: Height of each image.
        width: Width of each image.

    Raises:
        FeatmixError: If they do not fit.
    """
    needed, free = COPIES * 3 * count * height * width, available_memory()
    if free is not None and needed > free:
        got = f"{count} of {height} x {width}, for which runs need {needed / 2**30:.1f} GiB of {free / 2**30:.1f}"
        raise FeatmixError(name, "size", expected="images that fit into memory", got=got, fix="A smaller --size.")


def _lacking(words: str, classes: Sequence[str], here: set[int]) -> list[str]:
    names = [repr(name) for number, name in enumerate(classes) if number not in here]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return [f"{words} {', '.join(names[:_SHOWN])}{more}"] if names else []
