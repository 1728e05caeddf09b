"""Event files: what TensorBoard reads. Needs the package tensorboard, nothing of TensorFlow."""

from __future__ import annotations

import io
import itertools
import os
import time
from typing import Any

import numpy as np

_BUCKETS = 30
_counter = itertools.count()  # two files of one second must not share a name


def _tensorboard() -> Any:
    try:
        from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError as error:
        raise ImportError(
            "The TensorBoard callback writes its files with the package tensorboard: "
            "pip install tensorboard"
        ) from error
    return event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, RecordWriter


class EventFile:
    """One run: a folder with a file of events, to which scalars, histograms ... are added."""

    def __init__(self, folder: str) -> None:
        import socket  # no part of every import of lamina

        events, self._summaries, self._tensors, self._shapes, record_writer = _tensorboard()
        self._event = events.Event
        os.makedirs(folder, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        self._file = open(os.path.join(folder, f"{name}.{next(_counter)}.v2"), "xb")
        self._records = record_writer(self._file)
        self._write(self._event(wall_time=time.time(), file_version="brain.Event:2"))

    def scalar(self, tag: str, value: float, step: int) -> None:
        tensor = self._tensors.TensorProto(dtype=1, tensor_shape=self._shape())
        tensor.float_val.append(float(value))
        self._add(tag, "scalars", tensor, step)

    def histogram(self, tag: str, values: np.ndarray, step: int) -> None:
        """Counts of the values in 30 ranges of equal width, as rows (left, right, count)."""
        values = np.asarray(values, np.float64).ravel()
        values = values[np.isfinite(values)]
        counts, edges = np.histogram(values, bins=_BUCKETS)
        rows = np.stack([edges[:-1], edges[1:], counts.astype(np.float64)], axis=1)
        tensor = self._tensors.TensorProto(dtype=2, tensor_shape=self._shape(*rows.shape))
        tensor.tensor_content = rows.astype("<f8").tobytes()
        self._add(tag, "histograms", tensor, step)

    def image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """Grey pictures (count, height, width), each scaled from its least to its greatest."""
        from PIL import Image

        texts = [str(pixels.shape[2]).encode(), str(pixels.shape[1]).encode()]
        for picture in pixels:
            low, high = float(picture.min()), float(picture.max())
            grey = (255 * (picture - low) / max(high - low, 1e-12)).astype(np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(grey).save(buffer, format="PNG")
            texts.append(buffer.getvalue())
        self._add(tag, "images", self._strings(texts), step)

    def model(self, config: str, step: int = 0) -> None:
        """The model's JSON configuration, which TensorBoard draws as a graph."""
        self._add("keras", "graph_keras_model", self._strings([config.encode()]), step)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _write(self, event: Any) -> None:
        self._records.write(event.SerializeToString())

    def _shape(self, *sizes: int) -> Any:
        shape = self._shapes.TensorShapeProto()
        for size in sizes:
            shape.dim.add().size = size
        return shape

    def _strings(self, texts: list[bytes]) -> Any:
        tensor = self._tensors.TensorProto(dtype=7, tensor_shape=self._shape(len(texts)))
        tensor.string_val.extend(texts)
        return tensor

    def _add(self, tag: str, plugin: str, tensor: Any, step: int) -> None:
        metadata = self._summaries.SummaryMetadata(display_name=tag)
        metadata.plugin_data.plugin_name = plugin
        summary = self._summaries.Summary()
        summary.value.add(tag=tag, metadata=metadata, tensor=tensor)
        self._write(self._event(wall_time=time.time(), step=step, summary=summary))


def write_projector(folder: str, embeddings: dict[str, np.ndarray], labels: dict[str, str]) -> None:
    """Tables of embeddings as TSV files, with the list that TensorBoard's projector reads."""
    os.makedirs(folder, exist_ok=True)
    lines = []
    for name, table in embeddings.items():
        file = name.replace("/", "_") + ".tsv"
        np.savetxt(os.path.join(folder, file), table, delimiter="\t", fmt="%.7g")
        lines += ["embeddings {", f'  tensor_name: "{name}"', f'  tensor_path: "{file}"']
        if name in labels:
            lines.append(f'  metadata_path: "{labels[name]}"')
        lines.append("}")
    path = os.path.join(folder, "projector_config.pbtxt")
    with open(path, "w", encoding="utf-8") as file_handle:
        file_handle.write("\n".join(lines) + "\n")
