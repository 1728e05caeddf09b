"""A peer's process: reads one request per line, answers one line of JSON.

{"do": "versions"}                                   -> "keras 3.15.1 on torch 2.13.0"
{"do": "train", "workload": "xor", "seconds": 0.5}   -> seconds per step
{"do": "predict row", "workload": "xor", "seconds": 0.5} -> seconds per call; also "call row"
{"do": "predict all", "workload": "xor", "seconds": 0.5} -> seconds per row
{"do": "train batches", "workload": "mlp_big", "batch": 512, "rows": 4096, "seconds": 0.5}
                                                     -> seconds per row
{"do": "first step", "workload": "xor"} -> seconds for building a model and its first step, less
                                           what a later step takes
{"do": "trace", "workload": "xor"}      -> seconds for tracing a step again; of lamina only
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.peers import Runner, make_runner, versions
from bench.workloads import ALL, Workload


class Worker:
    """Keeps a model per workload, so that only the first request pays for building it."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.runners: dict[str, Runner] = {}

    def answer(self, request: dict[str, Any]) -> Any:
        if request["do"] == "versions":
            return versions(self.peer)
        workload = ALL[request["workload"]]
        if request["do"] == "first step":
            return self.first_step(workload)
        if request["do"] == "trace":
            return timed(self.runner(workload, workload.name).trace_again)
        seconds = request["seconds"]
        if request["do"] == "train batches":
            rows, batch = request["rows"], request["batch"]
            runner = self.runner(workload.with_batch(batch, rows), f"{workload.name}, {batch}")
            return time_repeats(runner.fit, seconds) / rows
        runner = self.runner(workload, workload.name)
        rows = len(workload.data()[0])
        if request["do"] == "train":
            return time_repeats(runner.fit, seconds) / workload.steps_per_epoch(rows)
        if request["do"] == "predict all":
            return time_repeats(runner.predict_all, seconds) / rows
        one_row = {"predict row": runner.predict_row, "call row": runner.call_row}
        return time_repeats(one_row[request["do"]], seconds)

    def runner(self, workload: Workload, name: str) -> Runner:
        """The one kept under this name, made and warmed up when it is new."""
        if name not in self.runners:
            self.runners[name] = runner = make_runner(self.peer, workload)
            runner.fit(2)
            runner.predict_row(3)
        return self.runners[name]

    def first_step(self, workload: Workload) -> float:
        """Of a new model, in a process that has trained one before."""
        self.runner(ALL["xor"], "xor")
        one_batch = workload.with_batch(workload.batch_size, workload.batch_size)
        start = time.perf_counter()
        runner = make_runner(self.peer, one_batch)
        runner.fit(1)
        first = time.perf_counter() - start
        return max(0.0, first - min(timed(lambda: runner.fit(1)) for _ in range(3)))


def timed(run: Callable[[], None]) -> float:
    """Seconds of `run()`."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def time_repeats(run: Callable[[int], None], seconds: float) -> float:
    """Seconds per repeat of `run(repeats)`, with as many repeats as fill the given time."""
    start = time.perf_counter()
    run(1)
    once = time.perf_counter() - start
    repeats = 1
    while repeats * once < seconds / 10 and repeats < 1 << 20:  # refine a too short measurement
        repeats *= 4
        start = time.perf_counter()
        run(repeats)
        once = (time.perf_counter() - start) / repeats
    repeats = max(1, round(seconds / once))
    start = time.perf_counter()
    run(repeats)
    return (time.perf_counter() - start) / repeats


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not look like an answer
    worker = Worker(sys.argv[1])
    for line in sys.stdin:
        try:
            reply = {"ok": worker.answer(json.loads(line))}
        except Exception as error:  # the runner reports it and goes on with the others
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=answers, flush=True)


if __name__ == "__main__":
    main()
