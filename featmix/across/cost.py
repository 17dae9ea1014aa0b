"""A model of the cost of gathering moments, from latency per message and bandwidth only."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

NODE = 8  # GPUs of one machine
BUDGET = 0.5e-3  # seconds a site and step: half a per cent of a step of 0.1 s
MOST_RANKS = 256
"""Up to this number of ranks ``across=True`` means all of them, beyond it those of one node; a result of :func:`largest`."""


@dataclass(frozen=True)
class Network:
    """The network of a cluster in the model, per GPU.

    Args:
        inside: Bandwidth from one GPU to others of its machine, in bytes per second.
        outside: Bandwidth from one GPU to other machines, in bytes per second.
        near: Latency of a message inside a machine, in seconds.
        far: Latency of a message between machines, in seconds.
        launch: Time to start a collective, independent of its size, in seconds.
        host: Time until a message of one host reaches the program of another, in seconds.
        hand: Time that a host needs to send and to receive one message, in seconds.
    """

    inside: float = 300e9
    outside: float = 40e9
    near: float = 2e-6
    far: float = 6e-6
    launch: float = 15e-6
    host: float = 50e-6
    hand: float = 5e-6

    def draw(self, ranks: int) -> float:
        """Return the seconds that a host waits in a draw, for messages of all other ranks that are sent at the same time.

        Example:
            >>> Network(host=1e-4, hand=1e-5).draw(11)
            0.0002
        """
        return 0.0 if ranks < 2 else self.host + (ranks - 1) * self.hand

    def all_gather(self, ranks: int, each: float) -> float:
        """Return the seconds of an all-gather in which each of ``ranks`` ranks sends ``each`` bytes.

        Example:
            >>> fast = Network()
            >>> fast.all_gather(8, 16384) < fast.all_gather(4096, 16384)
            True
        """
        if ranks < 2:
            return 0.0
        machines = ceil(ranks / NODE)
        steps = min(ranks, NODE) - 1
        seconds = self.launch + steps * self.near + steps * each / self.inside
        if machines > 1:
            seconds += ceil(log2(machines)) * self.far + (ranks - NODE) * each / self.outside
        return seconds

    def all_reduce(self, ranks: int, size: float) -> float:
        """Return the seconds of an all-reduce of a vector of ``size`` bytes over all ranks."""
        if ranks < 2:
            return 0.0
        machines = ceil(ranks / NODE)
        seconds = self.launch + 2 * (min(ranks, NODE) - 1) * self.near + 2 * size / self.inside
        if machines > 1:
            seconds += 2 * ceil(log2(machines)) * self.far + 2 * size / self.outside
        return seconds


def moment_bytes(rows: int, numbers: int, itemsize: int = 4) -> int:
    """Return the bytes that one rank sends for its rows, with ``numbers`` pairs of moments per row.

    Example:
        >>> moment_bytes(8, 256)  # instance norm, 256 channels
        16384
    """
    return 2 * rows * numbers * itemsize


def step_seconds(network: Network, ranks: int, rows: int, numbers: int, *, gradient: bool = True) -> float:
    """Return the seconds that a site adds to a step: an all-gather, and with gradients a reduce-scatter of the same size.

    Args:
        network: The network between the ranks.
        ranks: Number of ranks.
        rows: Number of rows of each rank.
        numbers: Number of pairs of moments per row.
        gradient: Whether gradients flow to the moments of partners.
    """
    return network.all_gather(ranks, moment_bytes(rows, numbers)) * (2 if gradient else 1)


def largest(network: Network, budget: float, rows: int = 8, numbers: int = 256) -> int:
    """Return the largest number of ranks, a power of two, that can gather within a budget of seconds per site and step.

    Example:
        >>> largest(Network(), BUDGET) == MOST_RANKS
        True
    """
    ranks = 2
    while ranks < 2**20 and step_seconds(network, 2 * ranks, rows, numbers) <= budget:
        ranks *= 2
    return ranks
