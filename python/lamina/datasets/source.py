"""Where the downloaded datasets come from, and what their files must look like."""

from __future__ import annotations

import os
from dataclasses import dataclass

from lamina.utils.download import get_file

STORAGE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
TORONTO = "https://www.cs.toronto.edu/~kriz/"


@dataclass(frozen=True)
class RemoteFile:
    """A file: the folder it is downloaded from and its checksum (SHA-256 or MD5)."""

    base: str
    checksum: str | None = None


FILES: dict[str, RemoteFile] = {
    "mnist.npz": RemoteFile(
        STORAGE, "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
    ),
    "imdb.npz": RemoteFile(
        STORAGE, "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
    ),
    "imdb_word_index.json": RemoteFile(STORAGE, "bfafd718b763782e994055a2d397834f"),
    "reuters.npz": RemoteFile(
        STORAGE, "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"
    ),
    "reuters_word_index.json": RemoteFile(STORAGE, "4d44cc38712099c9e383dc6e5f11a921"),
    "boston_housing.npz": RemoteFile(
        STORAGE, "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"
    ),
    "california_housing.npz": RemoteFile(
        STORAGE, "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f"
    ),
    "train-labels-idx1-ubyte.gz": RemoteFile(STORAGE),
    "train-images-idx3-ubyte.gz": RemoteFile(STORAGE),
    "t10k-labels-idx1-ubyte.gz": RemoteFile(STORAGE),
    "t10k-images-idx3-ubyte.gz": RemoteFile(STORAGE),
    "cifar-10-python.tar.gz": RemoteFile(
        TORONTO, "6d958be074577803d12ecdefd02955f39262c83c16fe9328329d7fe0b5c001ce"
    ),
    "cifar-100-python.tar.gz": RemoteFile(
        TORONTO, "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"
    ),
}


def fetch(
    name: str, path: str | None = None, folder: str = "datasets", extract: bool = False
) -> str:
    """Path of a dataset's file in the cache, downloaded when it is missing.

    Args:
        name: a name in `FILES`.
        path: name in the cache, or an absolute path; None: `name`.
        folder: folder inside the cache directory.
        extract: whether to unpack it and return the folder.

    $LAMINA_DATASETS_URL, when set, names a mirror: the folder that has all files.
    """
    file = FILES[name]
    base = os.environ.get("LAMINA_DATASETS_URL") or file.base
    return get_file(
        path or name,
        origin=f"{base.rstrip('/')}/{name}",
        file_hash=file.checksum,
        cache_subdir=folder,
        extract=extract,
    )
