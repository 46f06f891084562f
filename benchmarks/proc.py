"""What /proc reports about processes: processor time of a whole tree, resident memory."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def tree_cpu_seconds(pid: int) -> float:
    """Processor time (user and system) of a process and its descendants that still run."""
    # proc(5), after the name: fields 14 and 15 are user and system time.
    found = (_stat(one) for one in (pid, *descendants(pid)))
    return sum(int(fields[11]) + int(fields[12]) for fields in found if fields) / _TICKS_PER_SECOND


def descendants(pid: int) -> list[int]:
    """The running children of a process, their children, and so on."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            # proc(5), after the name: field 4 is the parent.
            children[int(fields[1])].append(int(entry.name))
    found = list(children[pid])
    for one in found:
        found += children[one]
    return found


def peak_bytes(pid: int) -> int:
    """Peak memory of a process in RAM (proc(5), status: VmHWM)."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024


def resident_bytes(pid: int) -> int:
    """Memory of a process in RAM now (proc(5), statm: the second field)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
