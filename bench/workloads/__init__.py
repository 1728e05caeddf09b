"""The programs that are timed, by name."""

from __future__ import annotations

from bench.workloads import dense, images, sequences
from bench.workloads.workload import Workload

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for family in (dense, images, sequences)
    for workload in family.WORKLOADS
}
