"""Loads the copy of the engine that fits this CPU, or a lower one that LAMINA_ISA names."""

from __future__ import annotations

import os

from lamina import _build, _loader

# The compiled files' folder. In an editable install it is not the one of this file.
ROOT = os.path.dirname(os.path.abspath(_loader.__file__))


def cmake_dir() -> str:
    """The folder of laminaConfig.cmake: what a C++ project passes as -Dlamina_DIR."""
    return os.path.join(ROOT, "lib", "cmake", "lamina")


def choose(wanted: str, cpu: int, levels: list[str]) -> str:
    """The level to run: the highest that the CPU has, or exactly the wanted one."""
    usable = [level for level in levels if _number(level) <= cpu]
    if wanted and wanted not in levels:
        raise ImportError(f"LAMINA_ISA={wanted}: this build of lamina has {', '.join(levels)}")
    if wanted and wanted not in usable:
        raise ImportError(f"LAMINA_ISA={wanted}: this CPU only has x86-64-v{cpu}")
    if not usable:
        raise ImportError(
            f"this build of lamina needs a CPU with x86-64-{levels[0]}, and this one only has "
            f"x86-64-v{cpu}; build it here with 'pip install --no-binary lamina lamina'"
        )
    return wanted or max(usable, key=_number)


def load() -> None:
    """Make this process use the right copy. Call it before lamina._core is imported."""
    level = choose(os.environ.get("LAMINA_ISA", ""), _loader.cpu_level(), _build.LEVELS)
    if len(_build.LEVELS) > 1:
        _loader.load(_path(level))


def _number(level: str) -> int:
    return int(level[1]) if level in ("v2", "v3", "v4") else 0


def _path(level: str) -> str:
    folder = [] if level == _build.LEVELS[0] else ["glibc-hwcaps", f"x86-64-{level}"]
    return os.path.join(ROOT, "lib", *folder, "liblamina.so.0")
