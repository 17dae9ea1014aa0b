import os
import time

import pytest

from featmix.compare.contenders import Contender, contender
from featmix.compare.digits import read_digits
from featmix.compare.pool import Pool
from featmix.compare.settings import Settings
from featmix.compare.training import Run
from featmix.errors import FeatmixError

TINY = Settings(epochs=1, limit=30, width=8, batch_size=32)


class Deadly(Run):
    """A run that ends the worker which unpickles it."""

    def __reduce__(self):
        return os._exit, (3,)


def alive(process):
    return process.is_alive()


def test_neither_a_failing_run_nor_a_dying_worker_takes_the_others_with_it():
    broken = Contender("moex", "lam=7", "stem", (("lam", 7),))  # as if it had not been checked
    runs = [Run(contender("none"), seed, "inverted") for seed in range(4)]
    runs[1:1] = [Run(broken, 0, "inverted"), Deadly(Contender("mixup"), 0, "inverted")]
    with Pool(1) as pool:
        rows = {(row.strategy, row.seed): row for row in pool.make(runs, TINY, read_digits())}
        processes = [worker._process for worker in pool._workers]
    assert len(rows) == len(runs)
    assert "FeatmixError: MoEx: lam" in rows["moex", 0].error
    assert rows["mixup", 0].error == "the worker process ended with exit code 3"
    assert all(rows["none", seed].error == "" for seed in range(4))
    assert processes
    assert not any(map(alive, processes))


def test_leaving_ends_workers_at_once_whatever_they_do():
    with Pool(2) as pool:
        pool.start()
        processes = [worker._process for worker in pool._workers]
        time.sleep(0.2)
    assert not any(map(alive, processes))


def test_no_runs_start_no_workers():
    with Pool(2) as pool:
        assert list(pool.make([], TINY, read_digits())) == []
        assert pool._workers == []


def test_a_script_without_a_guard_is_told_about_it(monkeypatch):
    monkeypatch.setattr("featmix.compare.pool.multiprocessing.current_process", lambda: type("P", (), {"_inheriting": True}))
    with pytest.raises(FeatmixError, match="__main__"):
        Pool(1)
