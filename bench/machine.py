"""What the measuring ran on, and whose processor time went where."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

TICKS = os.sysconf("SC_CLK_TCK")


def description() -> list[str]:
    """Return lines on the machine: processors, memory, system."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
    memory = psutil.virtual_memory().total / 2**30
    return [
        f"{os.cpu_count()} processors ({model}), {memory:.0f} GiB, "
        f"{platform.system()} {platform.release().partition('-')[0]}, {platform.machine()}",
        f"8 kB written and flushed: {flush_us():.0f} µs",
    ]


def flush_us(times: int = 200) -> float:
    """Return the median microseconds that this disk takes for a write of 8 kB with its flush."""
    path = Path(f"flush-{os.getpid()}.tmp")
    took = []
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            begun = time.perf_counter()
            file.write(b"x" * 8192)
            os.fdatasync(file.fileno())
            took.append(1e6 * (time.perf_counter() - begun))
    path.unlink()
    return sorted(took)[times // 2]


def spent_by(pid: int) -> float:
    """Return the processor seconds of a process and its descendants, also those that have ended."""
    total = 0.0
    try:
        first = psutil.Process(pid)
        for one in [first, *first.children(recursive=True)]:
            try:
                total += sum(one.cpu_times()[:4])
            except psutil.NoSuchProcess:
                continue
    except psutil.NoSuchProcess:
        return total
    return total


@dataclass(frozen=True, slots=True)
class Spent:
    """Processor seconds up to a moment: of each who is watched, of the machine, and stolen."""

    each: Mapping[str, float]
    busy: float
    total: float

    @classmethod
    def now(cls, watched: Mapping[str, int]) -> Spent:
        """Return what these processes, with their descendants, have spent so far."""
        fields: Any = psutil.cpu_times()
        idle = fields.idle + fields.iowait
        busy = fields.user + fields.system + fields.nice + fields.irq + fields.softirq
        stolen = fields.steal
        own = sum(os.times()[:4])
        each = {name: spent_by(pid) for name, pid in watched.items()} | {"client": own}
        return cls(each, busy + stolen, busy + stolen + idle)

    def since(self, before: Spent) -> tuple[dict[str, float], float]:
        """Return the seconds of each since then, and the share of all that neighbours took."""
        each = {name: spent - before.each.get(name, 0.0) for name, spent in self.each.items()}
        theirs = (self.busy - before.busy) - sum(each.values())
        return each, max(theirs, 0.0) / max(self.total - before.total, 1e-9)
