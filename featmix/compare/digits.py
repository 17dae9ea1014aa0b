"""The embedded default data set: scikit-learn's 1797 handwritten digits, enlarged to 16 x 16."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from featmix.compare.sources import RenderedSource, rendered
from featmix.support.extras import imported
from featmix.support.files import resized

SIZE = 16


def read_digits(styles: str = "") -> RenderedSource:
    """Read the digits that come with scikit-learn; nothing is downloaded.

    Args:
        styles: See :func:`featmix.compare.styles.chosen_styles`.

    Example:
        >>> source = read_digits()
        >>> source.grey.shape, source.domains
        ((1797, 16, 16), ('inverted', 'colors', 'textured', 'noisy'))
    """
    data = imported("sklearn.datasets", subject="compare", install="featmix[compare]").load_digits()
    small = np.rint(data.images / 16 * 255).astype(np.uint8)
    grey = np.stack([resized(torch.from_numpy(image), SIZE).numpy() for image in small])
    labels = data.target.astype(np.int64)
    return rendered(
        "digits", grey, labels, tuple("0123456789"), hashlib.sha256(small.tobytes()).hexdigest()[:16], styles=styles
    )
