"""Makes runs as tasks of Ray: on this machine's cores, or on a cluster by its address."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from featmix.compare.models import Factory
from featmix.compare.output import machine, versions
from featmix.compare.results import Row, one_line
from featmix.compare.settings import Settings
from featmix.compare.sources import Source
from featmix.compare.training import Run
from featmix.errors import FeatmixError
from featmix.support.extras import imported

RETRIES = 3  # of a run whose node or process was lost

_AHEAD = 2  # tasks handed out for each core, so that none waits for the next


@dataclass(frozen=True)
class _Made:
    """The result of a task."""

    row: Row
    machine: dict[str, object]
    versions: dict[str, str]


class RayPool:
    """Makes runs as Ray tasks; the data set is stored once in the object store.

    A run whose process or node is lost is made again elsewhere; a run that fails by itself is not.

    Args:
        jobs: Number of cores of a cluster on this machine; of a given cluster all are used.
        address: Address of a cluster; empty starts one on this machine, and ends it.
        resources: Resources of each run, by Ray's names: ``num_cpus``, ``num_gpus``, ``memory``.
        factory: Makes the network, if another process cannot find it by name; it is sent to the tasks.

    Raises:
        FeatmixError: On `start`, if Ray is missing, or the cluster does not answer or does not have the resources.
    """

    def __init__(
        self,
        jobs: int,
        *,
        address: str = "",
        resources: Mapping[str, float] | None = None,
        factory: Factory | None = None,
    ) -> None:
        self._jobs, self._address, self._factory = jobs, address, factory
        self._resources = dict(resources or {"num_cpus": 1})
        self._ray: Any = None
        self._begun_here = False
        self._most: int | None = None
        self._pending: dict[Any, Run] = {}
        self._machines: list[dict[str, object]] = []

    @property
    def machines(self) -> list[dict[str, object]]:
        """The other machines that made runs."""
        return self._machines

    def start(self, limit: int | None = None) -> None:
        """Connect to the cluster, or start one here with at most ``limit`` cores."""
        if self._ray is not None:
            return
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's coming default; without it it warns
        ray = imported("ray", subject="compare", install="featmix[ray]")
        if not ray.is_initialized():
            here = {} if self._address else {"num_cpus": self._cores(limit), "include_dashboard": False}
            try:
                ray.init(address=self._address or "local", log_to_driver=False, logging_level="ERROR", **here)
            except (ConnectionError, OSError, RuntimeError, ValueError) as error:
                got = one_line(str(error)) or type(error).__name__
                raise FeatmixError("compare", "executor", expected="a Ray cluster that answers", got=got) from error
            self._begun_here = True
        self._ray = ray
        self._check_resources()

    def shrink(self, most: int) -> None:
        """Assign at most ``most`` runs at a time from now on."""
        self._most = most

    def make(self, runs: Sequence[Run], settings: Settings, source: Source) -> Iterator[Row]:
        """Make runs and yield their rows when they are finished.

        Args:
            runs: The runs, in the order in which they are assigned.
            settings: Settings of all runs.
            source: The data set; put in the object store once.

        Raises:
            FeatmixError: If a node has other versions than this machine.
        """
        if not runs:
            return
        self.start(limit=len(runs))
        ray, left = self._ray, deque(runs)
        shared = ray.put((settings, source, self._factory))
        task = ray.remote(**self._resources, max_retries=RETRIES, retry_exceptions=False)(_make)
        while left or self._pending:
            while left and len(self._pending) < self._most_at_once():
                run = left.popleft()
                self._pending[task.remote(run, shared)] = run
            ready, _ = ray.wait(list(self._pending), num_returns=1)
            for one in ready:
                run = self._pending.pop(one)
                try:
                    made = ray.get(one)
                except ray.exceptions.RayError as error:
                    yield run.row(error=one_line(f"the run was lost: {type(error).__name__}: {str(error).strip()}"))
                    continue
                self._note(made)
                yield made.row

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._ray is None:
            return
        for one in self._pending:
            with contextlib.suppress(Exception):
                self._ray.cancel(one, force=True)
        self._pending.clear()
        if self._begun_here:
            self._ray.shutdown()
        self._ray = None

    def _cores(self, limit: int | None) -> int:
        jobs = self._jobs if limit is None else min(self._jobs, limit)
        return max(1, round(jobs * max(self._resources["num_cpus"], 1)))

    def _most_at_once(self) -> int:
        cores = self._ray.cluster_resources().get("CPU", 1)
        most = max(1, int(_AHEAD * cores / max(self._resources["num_cpus"], 0.1)))
        return most if self._most is None else min(most, max(1, self._most))

    def _check_resources(self) -> None:
        has = self._ray.cluster_resources()
        for name, key in (("num_cpus", "CPU"), ("num_gpus", "GPU"), ("memory", "memory")):
            if self._resources.get(name, 0) > has.get(key, 0):
                expected = f"a cluster with {self._resources[name]:g} {key} for each run"
                raise FeatmixError(
                    "compare",
                    "resources",
                    expected=expected,
                    got=f"{has.get(key, 0):g} in all",
                    fix="--resources asks for less.",
                )

    def _note(self, made: _Made) -> None:
        here = versions()
        if made.versions != here:
            changed = [name for name in here if made.versions.get(name) != here[name]]
            expected = ", ".join(f"{name} {here[name]}" for name in changed)
            got = ", ".join(f"{name} {made.versions.get(name)}" for name in changed)
            fix = "Install the same versions on all nodes."
            raise FeatmixError("compare", "executor", expected=f"{expected} on every node", got=got, fix=fix)
        if made.machine != machine() and made.machine not in self._machines:
            self._machines.append(made.machine)


def _make(run: Run, shared: tuple[Settings, Source, Factory | None]) -> _Made:
    """Make one run, as a task in a process of Ray that may have made others before."""
    from featmix.compare.memory import keep_memory
    from featmix.compare.repeatable import prepare_torch
    from featmix.compare.training import train

    keep_memory()
    prepare_torch()
    settings, source, factory = shared
    try:
        row = train(run, settings, source, factory)
    except Exception as error:  # a run that fails must not take the others with it
        row = run.row(error=one_line(f"{type(error).__name__}: {error}"))
    return _Made(row, machine(), versions())
