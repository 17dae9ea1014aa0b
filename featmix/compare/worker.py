"""The process that makes runs: it imports torch once, receives one run after the other, and ends with its parent."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection, wait

from featmix.compare.memory import keep_memory
from featmix.compare.repeatable import prepare_torch

READY = "ready"


def serve(connection: Connection) -> None:
    """Make runs until the connection closes.

    The parent sends the settings and the source first, then runs; the answer to each run is its row. The row of a run that
    fails has the reason.

    Args:
        connection: Connection to the parent. The first message sent is `READY`.
    """
    _ignore_interrupts()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_memory()
    prepare_torch()
    from featmix.compare.results import one_line
    from featmix.compare.training import train

    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send(READY)
        settings, source = connection.recv()
        while True:
            run = connection.recv()
            try:
                row = train(run, settings, source)
            except Exception as error:  # a run that fails must not take the others with it
                row = run.row(error=one_line(f"{type(error).__name__}: {error}"))
            connection.send(row)


def _ignore_interrupts() -> None:
    # Ctrl-C reaches every process of the terminal; only the parent answers. A handler rather than SIG_IGN, because the
    # processes that data-parallel training starts would inherit SIG_IGN and could then not be interrupted by their parent.
    signal.signal(signal.SIGINT, lambda *_: None)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
