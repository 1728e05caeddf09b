"""Datasets: scikit-learn's, and the downloaded ones from a local server and a cache directory."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import json
import pickle
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamina import datasets
from lamina.datasets import source
from lamina.utils import get_file

SKLEARN = {
    "digits": ((8, 8), 10), "breast_cancer": ((30,), 2), "wine": ((13,), 3), "iris": ((4,), 3),
}  # fmt: skip


@pytest.mark.parametrize("name", [*SKLEARN, "diabetes"])
def test_tables_of_scikit_learn(name: str) -> None:
    pytest.importorskip("sklearn")
    (x_train, y_train), (x_test, y_test) = getattr(datasets, name).load_data()
    assert len(x_train) == len(y_train) > len(x_test) == len(y_test) > 0
    assert x_train.shape[1:] == x_test.shape[1:]
    if name in SKLEARN:
        shape, classes = SKLEARN[name]
        assert x_train.shape[1:] == shape
        assert sorted(set(y_train.ravel())) == list(range(classes))
    again = getattr(datasets, name).load_data()
    np.testing.assert_array_equal(again[0][0], x_train)


class Server(http.server.ThreadingHTTPServer):
    """Serves a dictionary of files, with ranges; may stop in the middle of an answer."""

    files: dict[str, bytes] = {}
    requests: list[str] = []
    cut_after: int | None = None


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        asked = self.headers.get("Range", "")
        self.server.requests.append(f"{name} {asked}".strip())
        if name not in self.server.files:
            self.send_error(404)
            return
        body = self.server.files[name]
        start = int(asked.split("=")[1].split("-")[0]) if asked else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        cut, self.server.cut_after = self.server.cut_after, None
        self.wfile.write(body[start : cut if cut is not None else len(body)])

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.files, made.requests = {}, []
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("LAMINA_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LAMINA_DATASETS_URL", f"http://127.0.0.1:{made.server_port}/")
    yield made
    made.shutdown()
    made.server_close()


def npz(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def serve(server: Server, monkeypatch: pytest.MonkeyPatch, name: str, body: bytes) -> None:
    """Put a file on the server, and its checksum in the table."""
    server.files[name] = body
    checksum = hashlib.sha256(body).hexdigest()
    known = source.FILES[name]
    monkeypatch.setitem(source.FILES, name, source.RemoteFile(known.base, checksum))


def lists(*rows: list[int]) -> np.ndarray:
    made = np.empty(len(rows), dtype=object)
    made[:] = rows
    return made


IMAGES = np.arange(6 * 28 * 28, dtype="uint8").reshape(6, 28, 28)


def test_mnist(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    body = npz(x_train=IMAGES[:4], y_train=np.arange(4, dtype="uint8"), x_test=IMAGES[4:],
               y_test=np.arange(2, dtype="uint8"))  # fmt: skip
    serve(server, monkeypatch, "mnist.npz", body)
    (x_train, y_train), (x_test, y_test) = datasets.mnist.load_data()
    np.testing.assert_array_equal(x_train, IMAGES[:4])
    np.testing.assert_array_equal(y_test, [0, 1])
    assert x_test.shape == (2, 28, 28) and y_train.dtype == np.uint8
    datasets.mnist.load_data()
    assert len(server.requests) == 1  # the second time it comes from the cache


def idx(array: np.ndarray, magic: int) -> bytes:
    header = magic.to_bytes(4, "big") + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(header + array.astype("uint8").tobytes())


def test_fashion_mnist(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for part, images in (("train", IMAGES[:4]), ("t10k", IMAGES[4:])):
        labels = np.arange(len(images))
        serve(server, monkeypatch, f"{part}-images-idx3-ubyte.gz", idx(images, 2051))
        serve(server, monkeypatch, f"{part}-labels-idx1-ubyte.gz", idx(labels, 2049))
    (x_train, _), (x_test, y_test) = datasets.fashion_mnist.load_data()
    np.testing.assert_array_equal(x_train, IMAGES[:4])
    np.testing.assert_array_equal(x_test, IMAGES[4:])
    np.testing.assert_array_equal(y_test, [0, 1])


def test_cifar10(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
            rows = np.full((10_000, 3072), number, "uint8")
            rows[:, 0] = 77
            body = pickle.dumps({b"data": rows, b"labels": [number] * 10_000}, protocol=2)
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    serve(server, monkeypatch, "cifar-10-python.tar.gz", out.getvalue())
    (x_train, y_train), (x_test, y_test) = datasets.cifar10.load_data()
    assert x_train.shape == (50_000, 32, 32, 3) and x_test.shape == (10_000, 32, 32, 3)
    assert y_train.shape == (50_000, 1) and int(y_test[0, 0]) == 5
    assert x_train[0, 0, 0, 0] == 77 and x_train[0, 0, 0, 1] == 0  # channels go last


def test_imdb_options(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = lists([1, 2, 3], [4, 5], [6], [7, 8, 9, 10])
    body = npz(x_train=texts, y_train=np.array([0, 1, 0, 1]), x_test=texts[:2],
               y_test=np.array([1, 0]))  # fmt: skip
    serve(server, monkeypatch, "imdb.npz", body)
    serve(server, monkeypatch, "imdb_word_index.json", json.dumps({"the": 1}).encode())
    (x_train, y_train), _ = datasets.imdb.load_data(num_words=8)
    assert sorted(map(tuple, x_train)) == sorted([(1, 4, 5, 6), (1, 7, 2), (1, 2), (1, 2, 2, 2, 2)])
    assert len(y_train) == 4
    assert datasets.imdb.get_word_index() == {"the": 1}


def test_reuters_and_housing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = lists(*[[i, i + 1] for i in range(1, 11)])
    serve(server, monkeypatch, "reuters.npz", npz(x=texts, y=np.arange(10)))
    (x_train, _), (x_test, _) = datasets.reuters.load_data(test_split=0.2)
    assert len(x_train) == 8 and len(x_test) == 2
    table = npz(x=np.arange(130.0).reshape(10, 13), y=np.arange(10.0))
    serve(server, monkeypatch, "boston_housing.npz", table)
    (x_train, _), (x_test, y_test) = datasets.boston_housing.load_data()
    assert x_train.shape == (8, 13) and y_test.shape == (2,)
    serve(server, monkeypatch, "reuters_word_index.json", json.dumps({"grain": 7}).encode())
    assert datasets.reuters.get_word_index() == {"grain": 7}
    names = datasets.reuters.get_label_names()
    assert len(names) == 46 and names[:2] == ("cocoa", "grain")
    table = npz(x=np.arange(5600.0).reshape(700, 8), y=np.arange(700.0))
    serve(server, monkeypatch, "california_housing.npz", table)
    (x_train, _), _ = datasets.california_housing.load_data(version="small", test_split=0.5)
    assert x_train.shape == (300, 8)
    with pytest.raises(ValueError, match="version"):
        datasets.california_housing.load_data(version="tiny")


def test_cifar100(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, count in (("train", 3), ("test", 2)):
            content = {
                b"data": np.zeros((count, 3072), "uint8"),
                b"fine_labels": list(range(count)),
                b"coarse_labels": [9] * count,
            }
            body = pickle.dumps(content, protocol=2)
            member = tarfile.TarInfo(f"cifar-100-python/{name}")
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    serve(server, monkeypatch, "cifar-100-python.tar.gz", out.getvalue())
    (x_train, y_train), (_, y_test) = datasets.cifar100.load_data()
    assert x_train.shape == (3, 32, 32, 3) and y_train.ravel().tolist() == [0, 1, 2]
    (_, y_train), _ = datasets.cifar100.load_data(label_mode="coarse")
    assert y_train.ravel().tolist() == [9, 9, 9] and y_test.shape == (2, 1)


def test_interrupted_download_is_resumed(server: Server, tmp_path: Path) -> None:
    body = bytes(range(256)) * 2000
    server.files["big.bin"] = body
    server.cut_after = 200_000
    origin = f"http://127.0.0.1:{server.server_port}/big.bin"
    checksum = hashlib.sha256(body).hexdigest()
    with pytest.raises(OSError):
        get_file("big.bin", origin, file_hash=checksum)
    path = get_file("big.bin", origin, file_hash=checksum)
    assert Path(path).read_bytes() == body
    assert "Range" not in server.requests[0]
    assert server.requests[1].startswith("big.bin bytes=") and "bytes=0-" not in server.requests[1]


def test_wrong_checksum_keeps_nothing(server: Server, tmp_path: Path) -> None:
    server.files["a.bin"] = b"damaged"
    with pytest.raises(OSError, match="checksum"):
        get_file("a.bin", f"http://127.0.0.1:{server.server_port}/a.bin", file_hash="0" * 64)
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_offline_says_where_to_put_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMINA_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LAMINA_DATASETS_URL", "http://127.0.0.1:9/")
    with pytest.raises(OSError) as caught:
        datasets.mnist.load_data()
    assert str(tmp_path / "cache" / "datasets" / "mnist.npz") in str(caught.value)


def test_missing_on_the_server(server: Server) -> None:
    with pytest.raises(OSError, match="404"):
        datasets.imdb.load_data()


def test_archive_that_leaves_its_folder_is_refused(server: Server, tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo("../evil.txt")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))
    server.files["bad.tar"] = out.getvalue()
    with pytest.raises(ValueError, match="evil"):
        get_file("bad.tar", f"http://127.0.0.1:{server.server_port}/bad.tar", extract=True)
    assert not list(tmp_path.rglob("evil.txt"))
