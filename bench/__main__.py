"""`python -m bench`: every workload on every installed peer, in interleaved rounds.

Each peer lives in a process of its own. A round asks every peer for one measurement of every
workload, one after the other, so that a change of the machine's speed meets all alike; the tables
show medians over the rounds. One mode at a time; each is a module of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from types import ModuleType

from bench import (
    busy,
    comparison,
    counts,
    first_step,
    limits,
    memory,
    report,
    scaling,
    threads,
)
from bench.peers import MODULES
from bench.workloads import ALL, WORKLOADS

# A mode's module has `run(options)`, which prints its tables and returns what the JSON file holds.
MODES: dict[str, ModuleType] = {
    "busy": busy,
    "threads": threads,
    "scaling": scaling,
    "first-step": first_step,
    "limits": limits,
    "memory": memory,
    "counts": counts,
}


def main() -> int:
    options = parse_arguments()
    content = {"machine": report.machine(), **options.mode.run(options)}
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return content.get("exit code", 0)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n")[0])
    modes = parser.add_mutually_exclusive_group()
    for name, module in MODES.items():
        modes.add_argument(
            f"--{name}",
            dest="mode",
            action="store_const",
            const=module,
            default=comparison,
            help=(module.__doc__ or "").split("\n")[0],
        )
    names = ", ".join(WORKLOADS)
    parser.add_argument(
        "--workloads", nargs="+", choices=ALL, metavar="WORKLOAD", help=f"among them {names}"
    )
    parser.add_argument("--peers", nargs="+", choices=MODULES, default=list(MODULES))
    parser.add_argument("--rounds", type=int, default=7, help="measurements per cell (7)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement (0.5)")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 0.1 s")
    parser.add_argument(
        "--python",
        nargs="+",
        default=[],
        metavar="PEER=PATH",
        help="interpreter that has a peer, when it is not this one",
    )
    parser.add_argument("--out", type=Path, default=Path("bench.json"), help="JSON file to write")
    parser.add_argument(
        "--chart", type=Path, help="bar chart to draw, .svg or .png (needs matplotlib)"
    )
    parser.add_argument(
        "--update", action="store_true", help="with --counts: store the counts as the reference"
    )
    options = parser.parse_args()
    options.pythons = dict(entry.split("=", 1) for entry in options.python)
    if options.quick:
        options.rounds, options.seconds = 3, 0.1
    return options


if __name__ == "__main__":
    sys.exit(main())
