"""The card that is measured, and its file of results."""

from __future__ import annotations

import re
import subprocess

import torch


def card() -> str:
    """Its name; ``rehearsal`` where there is none."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "rehearsal"


def file_name(name: str) -> str:
    """Of the results of a card: ``nvidia-h100-80gb-hbm3.json``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".json"


def facts() -> dict[str, str]:
    """Card, memory and driver."""
    if not torch.cuda.is_available():
        return {"card": card()}
    properties = torch.cuda.get_device_properties(0)
    return {"card": card(), "memory of the card": f"{properties.total_memory / 2**30:.0f} GiB", "driver": _driver()}


def _driver() -> str:
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(ask, check=True, capture_output=True, text=True, timeout=20).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found[0] if found else "unknown"
