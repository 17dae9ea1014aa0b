"""The state of a mixer in a folder of a checkpoint, a file for each rank."""

from __future__ import annotations

import io
from pathlib import Path

import torch

from featmix.mixer.mixer import Mixer
from featmix.seeding import rank
from featmix.support.files import write

NAME = "featmix_state_{}.pt"


def save_state(mixer: Mixer, folder: Path) -> Path:
    """Write this rank's state; all ranks have to do so.

    Args:
        mixer: The mixer.
        folder: The checkpoint's; it must exist.

    Returns:
        The file.
    """
    content = io.BytesIO()
    torch.save(mixer.state_dict(gather=False), content)
    path = folder / NAME.format(rank())
    write(path, content.getvalue())
    return path


def load_state(mixer: Mixer, folder: Path) -> bool:
    """Continue from the state of this rank; a rank that is new continues from the first one's, with its own random numbers.

    Args:
        mixer: The mixer.
        folder: The checkpoint's.

    Returns:
        Whether there was a state.
    """
    for number in (rank(), 0):
        path = folder / NAME.format(number)
        if path.is_file():
            mixer.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
            return True
    return False
