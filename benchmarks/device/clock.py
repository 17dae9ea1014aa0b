"""Time on a device: of its kernels alone, of the host until they are enqueued, and of both together."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from benchmarks.timing import Call, Timing, timing

INSIDE = 4  # calls in one graph, so that what lies between two replays weighs little
MOST = 200  # calls between two looks at the clock
CYCLES = 2e9  # a second of a device, about: how long it sleeps while calls are enqueued


@dataclass(frozen=True)
class Pace:
    """What calls take that are enqueued one after the other.

    Args:
        host: Until a call returns, while nothing waits for the device.
        wall: Until its work is done: the longer of what the host and the device take.
    """

    host: Timing
    wall: Timing


@dataclass(frozen=True)
class Clock:
    """How long to measure, and where.

    Args:
        device: Of the tensors. On the CPU, for rehearsals, all three times are the same.
        seconds: For each competitor in each round.
        rounds: How often they take turns.
    """

    device: torch.device
    seconds: float = 0.02
    rounds: int = 5

    def settle(self) -> None:
        """Wait until the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def tidy(self) -> None:
        """Give back what graphs held."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def race(self, calls: Mapping[str, Call]) -> dict[str, Pace]:
        """What each call takes, in turns."""
        number = {who: self._number(self._once(call)) for who, call in calls.items()}
        host: dict[str, list[float]] = {who: [] for who in calls}
        wall: dict[str, list[float]] = {who: [] for who in calls}
        for _ in range(self.rounds):
            for who, call in calls.items():
                self.settle()
                start = time.perf_counter()
                for _ in range(number[who]):
                    call()
                host[who].append((time.perf_counter() - start) / number[who])
                self.settle()
                wall[who].append((time.perf_counter() - start) / number[who])
        return {who: Pace(timing(host[who]), timing(wall[who])) for who in calls}

    def alone(self, call: Call) -> tuple[Timing, bool]:
        """What a call takes on the device alone, and whether this is by replay of a CUDA graph; else by events."""
        once = self._once(call)
        if self.device.type != "cuda":
            return self.race({"call": call})["call"].wall, False
        graph = _captured(call)
        again, inside = (call, 1) if graph is None else (graph.replay, INSIDE)
        number = self._number(once * inside) if graph is not None else min(self._number(once), 20)  # a queue holds about 1000
        times = []
        for _ in range(self.rounds):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            if graph is None:  # the device sleeps while the host enqueues, and then works without waiting for it
                torch.cuda._sleep(int(1.5 * CYCLES * once * number))
            start.record()
            for _ in range(number):
                again()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end) / 1e3 / number / inside)
        return timing(times), graph is not None

    def _once(self, call: Call) -> float:
        """Seconds of one call and its work, after two that compile and warm up."""
        for _ in range(2):
            call()
        self.settle()
        start = time.perf_counter()
        call()
        self.settle()
        return time.perf_counter() - start

    def _number(self, once: float) -> int:
        return max(2, min(MOST, int(self.seconds / max(once, 1e-7))))


def _captured(call: Call) -> torch.cuda.CUDAGraph | None:
    """Some calls as a CUDA graph; ``None`` where they wait for the device, or cannot be captured."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            call()
    torch.cuda.synchronize()
    if not _never_waits(call):
        return None
    graph, collects = torch.cuda.CUDAGraph(), gc.isenabled()
    gc.disable()  # collecting another graph would break the capture
    try:
        with torch.cuda.stream(stream):
            graph.capture_begin()
            try:
                for _ in range(INSIDE):
                    call()
            finally:
                graph.capture_end()
        graph.replay()
        torch.cuda.synchronize()
    except RuntimeError:
        return None
    finally:
        if collects:
            gc.enable()
    return graph


def _never_waits(call: Call) -> bool:
    """Whether a call can be captured at all: a capture that fails leaves the allocator in disorder."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        call()
    except RuntimeError:
        return False
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return True
