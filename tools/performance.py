"""Write the profiles of docs/performance.md: tables and pictures of two of bench's workloads.

Command: python tools/performance.py [--steps 40]

What stands between the markers of the page is replaced; the pictures go to docs/images. The
numbers are those of the machine it runs on, which should do nothing else meanwhile. Tables and
pictures are of one thread, which other load disturbs least; a line tells what the others bring.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance.md"
sys.path.insert(0, str(ROOT))

from bench.report import machine  # noqa: E402
from bench.workloads import WORKLOADS  # noqa: E402

import lamina  # noqa: E402
from lamina import _core  # noqa: E402
from lamina.profiling import OpTimes, Profile  # noqa: E402
from lamina.profiling.tables import time_text  # noqa: E402

PROFILED = ("cnn_bn", "transformer")

# Kind of operation -> what its names begin with. The first that fits counts.
KINDS = {
    "convolution": ("conv", "depthwise"),
    "attention": ("attention",),
    "product": ("dense", "matmul"),
    "normalization": ("batch_norm", "layer_norm", "moments"),
    "pooling": ("max_pool", "avg_pool"),
    "update": ("adam_", "sgd_", "pack"),
    "batch": ("copy",),
    "reduction": ("sum", "mean", "max", "min"),
    "elementwise": ("",),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40, help="steps that are timed (40)")
    options = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    threads = lamina.num_threads()
    for name in PROFILED:
        team = profile_of(name, options.steps)
        lamina.set_num_threads(1)
        alone = profile_of(name, options.steps)
        lamina.set_num_threads(threads)
        picture = ROOT / "docs" / "images" / f"profile-{name}.png"
        picture.parent.mkdir(exist_ok=True)
        alone.plot().savefig(picture, dpi=80)
        text = replaced(text, name, block(alone, team, name))
        print(f"{name}: {time_text(alone.step.seconds)} a step of one thread")
    PAGE.write_text(text, encoding="utf-8")
    return 0


def profile_of(name: str, steps: int) -> Profile:
    """The profile of a workload's training step."""
    workload = WORKLOADS[name]
    x, y = workload.data()
    lamina.utils.clear_session()  # so that layers have the names they would have in a new process
    model = workload.build(lamina)
    return lamina.profile(model, x, y, batch_size=workload.batch_size, steps=steps)


def replaced(text: str, name: str, content: str) -> str:
    """The page with the content between the markers of `name`."""
    begin, end = f"<!-- profile {name} -->", f"<!-- end {name} -->"
    if begin not in text or end not in text:
        raise ValueError(f"{PAGE.name} has no markers {begin} ... {end}.")
    pattern = re.escape(begin) + ".*?" + re.escape(end)
    return re.sub(pattern, lambda _: f"{begin}\n{content}\n{end}", text, flags=re.DOTALL)


def block(profile: Profile, team: Profile, name: str) -> str:
    """What is shown of a model: the profile of one thread, and what a team of them brings."""
    described = machine()
    parts = [
        f"Made on {described['date']} by `tools/performance.py`: {described['processor']}, one "
        f"thread, instruction set level {_core.isa()}; the machine's limits were measured in the "
        "same run.",
        kinds_table(profile),
        scaling(profile, team),
        f"![{name}: time by layer, operations against the limits, map of the arena]"
        f"(images/profile-{name}.png)",
        f"```text\n{profile.table(most_ops=16)}\n```",
    ]
    return "\n\n".join(parts)


def scaling(alone: Profile, team: Profile) -> str:
    """What more threads bring, and what the part that one must do alone allows."""
    threads = team.limits.threads
    if threads == 1:
        return "The machine gave one thread only."
    serial = team.serial_seconds / alone.seconds
    bound = 1.0 / (serial + (1.0 - serial) / 64)
    faster = alone.step.best / team.step.best
    return (
        f"With {threads} threads the best step took {time_text(team.step.best)} instead of "
        f"{time_text(alone.step.best)} ({faster:.2f} times as fast). Only "
        f"{100 * serial:.2f} % of a thread's time is work for one thread alone: by itself it would "
        f"let 64 cores be {bound:.0f} times as fast as one."
    )


def kind_of(op: OpTimes) -> str:
    """The kind of an operation, by its name."""
    return next(kind for kind, starts in KINDS.items() if op.name.startswith(starts))


def kinds_table(profile: Profile) -> str:
    """Time by kind of operation, and how much of it lies above what the machine needs."""
    groups: dict[str, list[OpTimes]] = {}
    for op in profile.ops:
        groups.setdefault(kind_of(op), []).append(op)
    lines = [
        "| kind of operation | time | share | least time | above it | of peak |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    rows = sorted(groups.items(), key=lambda item: -seconds(item[1]))
    for kind, ops in rows:
        took, least = seconds(ops), sum(op.limit for op in ops)
        lines.append(
            f"| {kind} | {time_text(took)} | {100 * took / profile.seconds:.1f} % | "
            f"{time_text(least)} | {above(took - least)} | {100 * least / took:.0f} % |"
        )
    return "\n".join(lines)


def seconds(ops: list[Any]) -> float:
    """Of all operations together."""
    return float(sum(op.seconds for op in ops))


def above(difference: float) -> str:
    """Time beyond the least; a dash where there is none."""
    return time_text(difference) if difference > 0 else "-"


if __name__ == "__main__":
    sys.exit(main())
