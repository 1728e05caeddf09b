"""The programs that are timed, by name."""

from __future__ import annotations

from bench.workloads import deep, dense, images, sequences
from bench.workloads.workload import Workload

# What the comparison, the busy machine and the threads are measured with.
WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for family in (dense, images, sequences)
    for workload in family.WORKLOADS
}
# And those of single modes.
ALL = {**WORKLOADS, **{workload.name: workload for workload in deep.WORKLOADS}}
