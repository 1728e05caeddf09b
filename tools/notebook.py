"""Executes the notebooks in place: python tools/notebook.py [PATH ...] (needs lamina[test]).

Streams are stored as a terminal would show them in the end: progress bars as their last line.
"""

import pathlib
import re
import sys

import nbformat
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).resolve().parent.parent


def as_shown(text: str) -> str:
    """Apply carriage returns and backspaces, and drop colours."""
    text = re.sub(r"\x1b\[[0-9;]*[a-zA-Z]", "", text)
    lines = []
    for line in text.split("\n"):
        shown: list[str] = []
        at = 0
        for char in line:
            if char == "\r":
                at = 0
            elif char == "\b":
                at = max(at - 1, 0)
            else:
                shown[at : at + 1] = [char]
                at += 1
        lines.append("".join(shown).rstrip())
    return "\n".join(lines)


def joined(outputs: list) -> list:
    """One output for neighbouring parts of one stream."""
    merged: list = []
    for output in outputs:
        if output.output_type == "stream" and merged and merged[-1].get("name") == output.name:
            merged[-1].text += output.text
        else:
            merged.append(output)
    for output in merged:
        if output.output_type == "stream":
            output.text = re.sub(r"/\S*/ipykernel_\d+/\d+\.py", "cell", as_shown(output.text))
    return merged


for path in map(pathlib.Path, sys.argv[1:] or sorted((ROOT / "notebooks").glob("*.ipynb"))):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": path.parent}}).execute()
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
    nbformat.write(notebook, path)
    print(f"{path.name}: executed")
