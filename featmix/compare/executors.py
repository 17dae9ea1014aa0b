"""Where runs are made: in processes of this machine, or as tasks of a Ray cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from featmix.compare.alone import Alone
from featmix.compare.models import Factory
from featmix.compare.pool import Pool
from featmix.compare.results import Row
from featmix.compare.settings import Settings
from featmix.compare.sources import Source
from featmix.compare.training import Run
from featmix.errors import FeatmixError, nearest

LOCAL, RAY = "local", "ray"

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_AMOUNT = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)([KMG]?)")
_RESOURCES = ("cpu", "gpu", "memory")


class Executor(Protocol):
    """Makes runs; a context manager."""

    @property
    def machines(self) -> list[dict[str, object]]:
        """The other machines that made runs, as `featmix.compare.output.machine` describes them."""

    def start(self, limit: int | None = None) -> None:
        """Prepare to make runs, at most ``limit`` at a time."""

    def shrink(self, most: int) -> None:
        """Make at most ``most`` runs at a time from now on."""

    def make(self, runs: Sequence[Run], settings: Settings, source: Source) -> Iterator[Row]:
        """Make runs, and yield their rows when they are finished."""

    def __enter__(self) -> Self:
        """Enter the context without starting anything."""

    def __exit__(self, *error: Any) -> None:
        """Stop everything that was started."""


@dataclass(frozen=True)
class Place:
    """The place where runs are made.

    Args:
        kind: ``local`` or ``ray``.
        address: Address of a Ray cluster; empty starts one on this machine.
    """

    kind: str = LOCAL
    address: str = ""

    @property
    def here(self) -> bool:
        """Whether all runs are made on this machine."""
        return not self.address


def chosen_place(text: str) -> Place:
    """Read ``local``, ``ray``, or ``ray:ADDRESS``.

    Raises:
        FeatmixError: If it is none of these.

    Example:
        >>> chosen_place("ray").address, chosen_place("ray:10.0.0.1:6379").address
        ('', '10.0.0.1:6379')
    """
    kind, colon, address = text.partition(":") if isinstance(text, str) else ("", "", "")
    if kind not in (LOCAL, RAY) or (colon and (kind == LOCAL or not address)):
        fix = nearest(kind, (LOCAL, RAY))
        raise FeatmixError("compare", "executor", expected="local, ray or ray:ADDRESS", got=repr(text), fix=fix)
    return Place(kind, address)


def make_executor(place: Place, jobs: int, settings: Settings, resources: str = "", factory: Factory | None = None) -> Executor:
    """Return the executor for the runs of an experiment.

    Args:
        place: The place.
        jobs: Number of processes, or of cores of a cluster on this machine.
        settings: Settings of all runs.
        resources: See `chosen_resources`.
        factory: Makes the network, if another process cannot find it by name.

    Raises:
        FeatmixError: For invalid resources, or resources that would be ignored.
    """
    asked = chosen_resources(resources, settings)
    if place.kind == RAY:
        from featmix.compare.ray_pool import RayPool

        return RayPool(jobs, address=place.address, resources=asked, factory=factory)
    if resources:
        raise FeatmixError(
            "compare", "resources", expected=f"--executor {RAY}, which hands them out", got=f"--executor {LOCAL}"
        )
    if factory is not None:
        return Alone(factory)
    return Pool(jobs, nested=settings.devices > 1)


def chosen_resources(text: str, settings: Settings) -> dict[str, float]:
    """Read the resources of a run, such as ``cpu=2,gpu=0.5,memory=2G``.

    Args:
        text: The resources; by default a core, and a GPU for each device that trains.
        settings: Device and number of devices.

    Returns:
        The arguments for Ray.

    Raises:
        FeatmixError: If the text is invalid.

    Example:
        >>> chosen_resources("memory=2G", Settings())
        {'num_cpus': 1, 'memory': 2147483648}
    """
    given: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, amount = (word.strip() for word in part.partition("="))
        found = _AMOUNT.fullmatch(amount)
        if name not in _RESOURCES or name in given or found is None or (found[2] and name != "memory"):
            expected = "cpu, gpu and memory, each once: cpu=2,gpu=0.5,memory=2G"
            raise FeatmixError("compare", "resources", expected=expected, got=repr(text))
        number = float(found[1]) * _UNITS[found[2]]
        given[name] = int(number) if number.is_integer() else number
    on_gpu = settings.device.startswith("cuda")
    wanted = {"cpu": 1 if on_gpu else settings.devices, "gpu": settings.devices if on_gpu else 0, "memory": 0, **given}
    names = {"cpu": "num_cpus", "gpu": "num_gpus", "memory": "memory"}
    return {names[name]: amount for name, amount in wanted.items() if amount or name == "cpu"}
