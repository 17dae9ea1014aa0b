"""Seeded, stratified choices: training images, test images, and subsets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

TEST_SHARE = 0.3


def split_stratified(labels: Indices, rng: np.random.Generator, share: float = TEST_SHARE) -> tuple[Indices, Indices]:
    """Split into training and test images, class by class.

    Args:
        labels: Class of each image, of shape (N,).
        rng: Generator that decides the split.
        share: Share of each class for testing; at least one image of a class of two or more, never all of it.

    Returns:
        Sorted indices of the training and of the test images; together they are 0 ... N-1.

    Example:
        >>> train, test = split_stratified(np.repeat([0, 1], 10), np.random.default_rng(0))
        >>> len(train), len(test)
        (14, 6)
    """
    test: list[int] = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        test.extend(members[:count].tolist())
    tested = np.zeros(len(labels), dtype=bool)
    tested[test] = True
    return np.flatnonzero(~tested), np.flatnonzero(tested)


def draw_stratified(labels: Indices, limit: int | None, rng: np.random.Generator) -> Indices:
    """Draw at most `limit` images with the classes in their given proportion.

    Args:
        labels: Class of each image, of shape (N,).
        limit: Number of images to draw; None or a number above N draws all.
        rng: Generator that decides which.

    Returns:
        Sorted indices, of shape (min(limit, N),).

    Example:
        >>> draw_stratified(np.array([0, 0, 0, 0, 1, 1]), 3, np.random.default_rng(0)).size
        3
    """
    if limit is None or limit >= len(labels):
        return np.arange(len(labels))
    # An image's place within its class, as a fraction of the class: the smallest `limit` fractions are a fair sample.
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        place[members] = (rng.permutation(len(members)) + rng.random()) / len(members)
    return np.sort(np.argsort(place, kind="stable")[:limit])
