"""Steps of small models must not get longer unnoticed: counted instructions against a reference.

A change that is meant stores new counts: `python -m bench --counts --update`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

counts = pytest.importorskip("bench.counts", reason="the bench folder is not here")


def test_a_step_takes_as_many_instructions_as_before(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    kept = os.environ.get("LAMINA_TEST_BUILD")  # a folder to keep between runs
    folder = Path(kept) / "counts" if kept else tmp_path_factory.mktemp("counts")
    if not counts.REFERENCE.exists():
        pytest.skip("no counts are stored: python -m bench --counts --update")
    reference = counts.stored()
    try:
        program = counts.build(folder)
        if counts.compiler_of(program) != reference["compiler"]:
            pytest.skip(f"the reference is for {reference['compiler']}")
        found = counts.count_all(program)
    except counts.Unavailable as error:
        pytest.skip(str(error))
    longer = counts.longer(found, reference["counts"])
    assert not longer, counts.table(found, reference["counts"])
