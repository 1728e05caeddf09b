"""The Python blocks of README.md run, one after the other, in one process."""

from __future__ import annotations

import re

import pytest

from tests.processes import ROOT, run_python

README = ROOT / "README.md"


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)


@pytest.mark.skipif(not README.exists(), reason="installed without the repository")
def test_python_blocks_run() -> None:
    assert blocks(), "README.md shows no Python"
    run_python("\n".join(blocks()))
