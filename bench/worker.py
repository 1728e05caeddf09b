"""A peer's process: reads one request per line, answers one line of JSON.

{"do": "versions"}                                   -> "keras 3.15.1 on torch 2.13.0"
{"do": "train", "workload": "xor", "seconds": 0.5}   -> seconds per step
{"do": "predict row", "workload": "xor", "seconds": 0.5} -> seconds per call; also "call row"
{"do": "predict all", "workload": "xor", "seconds": 0.5} -> seconds per row
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.peers import Runner, make_runner, versions
from bench.workloads import WORKLOADS


class Worker:
    """Keeps a model per workload, so that only the first request pays for building it."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.runners: dict[str, Runner] = {}

    def answer(self, request: dict[str, Any]) -> Any:
        if request["do"] == "versions":
            return versions(self.peer)
        name = request["workload"]
        runner = self.runners.get(name)
        if runner is None:
            runner = self.runners[name] = make_runner(self.peer, WORKLOADS[name])
            runner.fit(2)
            runner.predict_row(3)
        seconds = request["seconds"]
        rows = len(WORKLOADS[name].data()[0])
        if request["do"] == "train":
            return time_repeats(runner.fit, seconds) / WORKLOADS[name].steps_per_epoch(rows)
        if request["do"] == "predict all":
            return time_repeats(runner.predict_all, seconds) / rows
        one_row = {"predict row": runner.predict_row, "call row": runner.call_row}
        return time_repeats(one_row[request["do"]], seconds)


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
