"""Pipelines in a comparison: each has a name that changes with its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import featmix as fm
from featmix.compare.contenders import Contender
from featmix.errors import FeatmixError
from featmix.mixer.tree import Tree

PIPELINE = "pipeline"

_DIGITS = 32  # of the digest, 128 bits, so that nobody finds two pipelines that share one; tables show the first few
_LONGEST_STEM = 80


@dataclass(frozen=True)
class PipelineContender(Contender):
    """A pipeline from a file.

    Args:
        name: ``pipeline``.
        settings: The file's name and a digest of its content, including the recorded versions: an edited file, or another
            version of a package that it uses, has its own runs.
        configuration: The pipeline as :func:`featmix.to_dict` returns it.
    """

    configuration: dict[str, Any] = field(default_factory=dict, compare=False)

    def pipeline(self) -> fm.Pipeline:
        """Return a new copy of the pipeline."""
        made: fm.Pipeline = fm.from_dict(self.configuration)
        return made

    @property
    def file(self) -> str:
        """Name of the copy in the output folder."""
        return file_of(self.settings)


def file_of(settings: str) -> str:
    """Return the name of the file in the output folder with the pipeline of a row with these settings."""
    return f"{PIPELINE}-{settings}.yaml"


def read_pipelines(files: Sequence[Path | str]) -> list[PipelineContender]:
    """Read files that :func:`featmix.save` wrote.

    Args:
        files: Each with a pipeline, or with a tree.

    Raises:
        FeatmixError: If one cannot be read, holds something else, or is given twice.
    """
    specs = [_read(Path(file)) for file in files]
    twice = [spec.settings for number, spec in enumerate(specs) if spec in specs[:number]]
    if twice:
        raise FeatmixError("compare", PIPELINE, expected="each pipeline once", got=f"{twice[0]!r} again")
    return specs


def _read(file: Path) -> PipelineContender:
    made: Any = fm.load(file)
    if isinstance(made, (Mapping, *get_args(Tree))):
        made = fm.Pipeline(mix=made)  # type: ignore[arg-type]
    if not isinstance(made, fm.Pipeline):
        fix = "Say where it acts: fm.save(fm.Pipeline(mix={site: strategy}), path)."
        raise FeatmixError(
            "compare", PIPELINE, expected="a file with a pipeline or a tree", got=f"a {type(made).__name__}", fix=fix
        )
    if made.mix_views is not None:
        fix = "Save one of them as a pipeline of its own: mix=."
        raise FeatmixError(
            "compare", PIPELINE, expected="one tree", got=f"a tree for each of {len(made.mix_views)} views", fix=fix
        )
    written = fm.to_dict(made)
    digest = hashlib.sha256(json.dumps(written).encode()).hexdigest()[:_DIGITS]
    return PipelineContender(PIPELINE, f"{file.stem[:_LONGEST_STEM]}-{digest}", configuration=written)
