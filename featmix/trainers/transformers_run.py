"""What the Hugging Face ``Trainer`` does not pass to callbacks: the Trainer itself, and the checkpoint that is resumed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

LOOP, FROM = "_inner_training_loop", "resume_from_checkpoint"


class Run(NamedTuple):
    """A run of training.

    Args:
        trainer: The Trainer; ``None`` where it was not found.
        checkpoint: The folder of the checkpoint that it goes on from; ``None`` where it begins, or that was not found.
    """

    trainer: Any
    checkpoint: Path | None


def current(args: Any, state: Any) -> Run:
    """Return the run that calls a callback, found in the call stack.

    A Trainer hands a callback its arguments and its state alone. The folder that it goes on from may lie anywhere; where the
    loop is not found, it is taken to be one of the folders that the Trainer writes.

    Args:
        args: ``TrainingArguments``.
        state: ``TrainerState``.
    """
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name == LOOP and FROM in frame.f_locals:
            found = frame.f_locals[FROM]
            return Run(frame.f_locals.get("self"), None if found is None else Path(found))
    return Run(None, folder(args, state) if state.global_step else None)


def folder(args: Any, state: Any) -> Path:
    """Return the folder of the checkpoint that the Trainer writes at this step."""
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"
