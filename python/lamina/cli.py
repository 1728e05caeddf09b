"""The command line: `lamina demo`, `lamina run script.py`, `lamina info`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import NoReturn


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status.

    Args:
        argv: arguments without the program's name; None: those of the process.
    """
    parser = _make_parser()
    options = parser.parse_args(argv)
    try:
        if options.cmake_dir:
            print(_cmake_dir())
            return 0
        if options.command is None:
            parser.print_help()
            return 0
        return int(options.run_command(options))
    except KeyboardInterrupt:
        print("lamina: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        text = str(error).strip() or type(error).__name__
        print(f"lamina: {' '.join(text.split())}", file=sys.stderr)
        return 1


def _make_parser() -> argparse.ArgumentParser:
    import lamina

    parser = _Parser(prog="lamina", description="Deep learning on CPUs with the Keras 3 API.")
    parser.add_argument("--version", action="version", version=f"lamina {lamina.__version__}")
    parser.add_argument(
        "--cmake-dir", action="store_true", help="print the folder of laminaConfig.cmake"
    )
    commands = parser.add_subparsers(dest="command", metavar="command", parser_class=_Parser)

    demo = commands.add_parser("demo", help="train a CNN on handwritten digits and draw the result")
    demo.add_argument("--out", default="lamina-demo", help="folder for the files (lamina-demo)")
    demo.add_argument("--epochs", type=int, default=20, help="passes over the digits (20)")
    demo.add_argument("--seed", type=int, default=1, help="of the random numbers (1)")
    demo.set_defaults(run_command=_demo)

    run = commands.add_parser("run", help="run a program written for Keras on lamina, unmodified")
    run.add_argument("script", help="the program's file")
    run.add_argument("arguments", nargs=argparse.REMAINDER, help="what the program gets")
    run.set_defaults(run_command=_run)

    info = commands.add_parser("info", help="show version, instruction set, threads, compiler")
    info.set_defaults(run_command=_info)
    return parser


def _cmake_dir() -> str:
    from lamina import _engine

    return str(_engine.cmake_dir())


def _demo(options: argparse.Namespace) -> int:
    from lamina.demo import run_demo

    run_demo(options.out, epochs=options.epochs, seed=options.seed)
    return 0


def _info(options: argparse.Namespace) -> int:
    from lamina import config

    del options
    config.show()
    return 0


def _run(options: argparse.Namespace) -> int:
    """Run a script as `python script.py` would, with lamina in Keras's place."""
    import runpy

    from lamina.dropin import install_as_keras

    script = options.script
    if not os.path.isfile(script):
        raise FileNotFoundError(f"run: there is no file {script!r}")
    install_as_keras()
    sys.argv = [script, *options.arguments]
    sys.path[0:0] = [os.path.dirname(os.path.abspath(script))]
    try:
        runpy.run_path(script, run_name="__main__")
    except Exception as error:  # the program's own failure: its traceback, without our frames
        import traceback

        own = _frames_of(script, error.__traceback__)
        traceback.print_exception(type(error), error, own)
        return 1
    return 0


def _frames_of(script: str, frames: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame in the script on; all of it when there is none."""
    frame = frames
    while frame is not None and frame.tb_frame.f_code.co_filename != script:
        frame = frame.tb_next
    return frame or frames
