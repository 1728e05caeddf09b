"""Starting, asking and stopping the processes of a benchmark."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.peers import environment, import_statement

ROOT = Path(__file__).resolve().parent.parent


class PeerProcess:
    """One peer, alive through the whole benchmark, idle between requests."""

    def __init__(self, peer: str, python: str, threads: int | None = None) -> None:
        self.peer = peer
        self.python = python
        self.version = ""
        self.process = subprocess.Popen(
            [python, "-m", "bench.worker", peer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=environment(peer, threads),
        )

    def ask(self, **request: Any) -> Any:
        """Send a request and wait for its answer; raises RuntimeError with the peer's error."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"{self.peer}: its process ended")
        reply = json.loads(line)
        if "error" in reply:
            raise RuntimeError(f"{self.peer}: {reply['error']}")
        return reply["ok"]

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def start_peers(
    peers: list[str], pythons: dict[str, str], threads: int | None = None
) -> Iterator[list[PeerProcess]]:
    """The processes of those peers that are installed, with so many threads (else their own)."""
    started = [PeerProcess(peer, pythons.get(peer, sys.executable), threads) for peer in peers]
    try:
        running = []
        for process in started:
            try:
                process.version = process.ask(do="versions")
                running.append(process)
                print(f"{process.peer}: {process.version}", file=sys.stderr)
            except RuntimeError as error:
                print(f"left out: {error}", file=sys.stderr)
        yield running
    finally:
        for process in started:
            process.close()


@contextlib.contextmanager
def busy_neighbours(count: int) -> Iterator[None]:
    """Processes that compute without end beside the measured ones."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(0.2)
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def time_import(statement: str, peer: str, python: str) -> float:
    """Seconds that a new interpreter needs for a statement, beyond its own start."""
    code = (
        "import time; start = time.perf_counter()\n"
        f"{statement}\n"
        "print(time.perf_counter() - start, file=__import__('sys').__stdout__)"
    )
    done = subprocess.run(
        [python, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=environment(peer),
    )
    return float(done.stdout.split()[-1])


def time_peer_import(process: PeerProcess) -> float:
    """Import time of a peer."""
    return time_import(import_statement(process.peer), process.peer, process.python)
