"""A step as files."""

from __future__ import annotations

import re
from pathlib import Path

from featmix.errors import FeatmixError
from featmix.pictures import as_png
from featmix.show.drawing import draw_samples, draw_site
from featmix.show.step import Step
from featmix.show.table import label_table
from featmix.support import files


def write(step: Step, out: str | Path) -> list[Path]:
    """Write the pictures and the table of a step.

    Raises:
        FeatmixError: If matplotlib is not installed, or the folder cannot be written to.
    """
    written = {"samples.png": as_png(draw_samples(step))}
    for site in step.sites:
        written[f"moments-{re.sub(r'[^A-Za-z0-9_.]+', '-', site.place).strip('-')}.png"] = as_png(draw_site(step, site))
    written["labels.csv"] = label_table(step).encode()
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in written.items():
            files.write(folder / name, content)
    except OSError as error:
        raise FeatmixError("show", "out", expected="a folder that can be written to", got=f"{folder} ({error})") from error
    return [folder / name for name in written]
