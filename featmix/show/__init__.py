"""Pictures of what a strategy or a pipeline does: samples, moment maps of hidden layers, and the label weights.

:func:`show` writes pictures; :func:`look` gives the numbers behind them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from featmix.show.looking import look
from featmix.show.maps import MomentMaps, moment_maps
from featmix.show.samples import Samples, from_data, from_files
from featmix.show.step import Site, Step
from featmix.show.writing import write

__all__ = ["MomentMaps", "Samples", "Site", "Step", "from_data", "from_files", "look", "moment_maps", "show", "write"]


def show(what: Any, *, out: str | Path, **settings: Any) -> list[Path]:
    """Write pictures of one step: what it does to samples at the input, to hidden layers, and to labels.

    ``samples.png`` has samples before and after, at the input. ``moments-SITE.png`` has mean and standard deviation over
    channels at each position of a hidden layer, before and after, and the partner's, in the same colours. ``labels.csv`` has
    all label weights. From the same seed the files are the same, byte for byte.

    Args:
        what: See :func:`look`.
        out: The folder to write to; it is made where there is none, and files of these names are replaced.
        settings: See :func:`look`.

    Returns:
        What was written.

    Raises:
        FeatmixError: As :func:`look` does, and if matplotlib is not installed or the folder cannot be written to.

    Example:
        >>> import tempfile
        >>> [path.name for path in show("moex", out=tempfile.mkdtemp(), count=2)]
        ['samples.png', 'moments-stem.png', 'labels.csv']
    """
    return write(look(what, **settings), out)
