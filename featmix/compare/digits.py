"""The embedded default data set: scikit-learn's 1797 handwritten digits, enlarged to 16 x 16."""

from __future__ import annotations

import hashlib

import numpy as np

from featmix.compare.sources import RenderedSource, rendered

SIZE = 16


def read_digits() -> RenderedSource:
    """Read the digits that come with scikit-learn; nothing is downloaded.

    Example:
        >>> source = read_digits()
        >>> source.grey.shape, source.domains
        ((1797, 16, 16), ('plain', 'inverted', 'colors', 'textured'))
    """
    from PIL import Image
    from sklearn.datasets import load_digits

    data = load_digits()
    small = np.rint(data.images / 16 * 255).astype(np.uint8)
    resized = [Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BILINEAR) for image in small]
    grey = np.stack([np.asarray(image) for image in resized])
    labels = data.target.astype(np.int64)
    return rendered("digits", grey, labels, tuple("0123456789"), hashlib.sha256(small.tobytes()).hexdigest()[:16])
