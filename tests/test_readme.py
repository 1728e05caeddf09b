"""The Python blocks of README.md and of the guides run, one after the other, in one process."""

from __future__ import annotations

import pathlib
import re

import pytest

from tests.processes import ROOT, run_python

GUIDES = ("README.md", "docs/getting-started.md", "docs/custom-loops.md", "docs/extending.md")


@pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="installed without the repository")
@pytest.mark.parametrize("guide", GUIDES)
def test_python_blocks_run(guide: str, tmp_path: pathlib.Path) -> None:
    text = (ROOT / guide).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
    assert blocks, f"{guide} shows no Python"
    run_python(f"import os; os.chdir({str(tmp_path)!r})\n" + "\n".join(blocks))
