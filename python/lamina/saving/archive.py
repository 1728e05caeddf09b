"""The zip archive of a `.keras` file: written whole, and read as data that may be hostile.

Nothing is ever extracted under a name from the archive. A member is read only after its name,
kind, and size have been checked, and never beyond its limit, whatever its header says.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from typing import IO, Any

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"

_MEGABYTE = 1 << 20
_BLOCK = _MEGABYTE
_MOST_MEMBERS = 1000
# Bytes of a whole table of contents. Our three members need less than a kilobyte.
_GREATEST_TABLE = _MEGABYTE
GREATEST_TEXT = {CONFIG: 32 * _MEGABYTE, METADATA: _MEGABYTE}
# How much larger than its compressed form a member may be. JSON reaches 40, weights 2; a bomb
# 1000. Below the free size nothing can do harm.
_GREATEST_RATIO = 100
_FREE_SIZE = 8 * _MEGABYTE
_GREATEST_UNKNOWN = _MEGABYTE
_ENCRYPTED = 0x1
_LOCAL_HEADER = struct.Struct("<26xHH")  # lengths of the name and the extra field that follow
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def write_archive(path: str, texts: dict[str, str], write_weights: Callable[[Any], None]) -> None:
    """Write a `.keras` archive.

    Args:
        path: file to write.
        texts: the JSON members by name.
        write_weights: puts the weights into the open binary file it is given.
    """
    folder = os.path.dirname(os.path.abspath(path))
    with zipfile.ZipFile(path, "w") as archive, tempfile.TemporaryFile(dir=folder) as weights:
        for name, text in texts.items():
            archive.writestr(name, text)
        write_weights(weights)
        weights.seek(0)
        with archive.open(WEIGHTS, "w", force_zip64=True) as member:
            while block := weights.read(_BLOCK):
                member.write(block)


class Archive:
    """A `.keras` archive that is being read; a context manager.

    Args:
        path: file to read.

    Raises:
        ValueError: when it is not a zip archive, when a member is missing, twice there, outside,
            a link, encrypted, or too large.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = open(path, "rb")  # noqa: SIM115  (closed by __exit__)
        try:
            source = _Table(self._file)
            self._archive = zipfile.ZipFile(source)
            source.is_open = True
            self._members = self._checked_members()
        except ValueError:
            self._file.close()
            raise
        except Exception as error:  # zipfile lets many kinds through for damaged archives
            self._file.close()
            raise ValueError(f"{path!r} is not a whole zip archive ({error}).") from None

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exception: object) -> None:
        self._archive.close()
        self._file.close()

    def size(self, name: str) -> int:
        """Return the size of a member in bytes, unpacked."""
        return self._members[name].file_size

    def text(self, name: str) -> str:
        """Return a JSON member."""
        info = self._members[name]
        try:
            with self._archive.open(info) as member:
                data = member.read(info.file_size + 1)
                member.read(1)  # at the end zipfile compares the checksum
            text = data.decode("utf-8")
        except Exception as error:
            raise self._damaged(name, error) from None
        if len(data) != info.file_size:
            raise self._damaged(name, f"{len(data)} bytes where {info.file_size} were announced")
        return text

    def weights(self) -> tuple[IO[bytes], int]:
        """Return the weights as an open binary file without a name, and their size in bytes."""
        info = self._members[WEIGHTS]
        unpacked = tempfile.TemporaryFile()  # noqa: SIM115  (the caller closes it)
        try:
            with self._archive.open(info) as member:
                if info.compress_type == zipfile.ZIP_STORED:
                    unpacked.close()
                    return self._in_place(info), info.file_size
                while block := member.read(_BLOCK):
                    unpacked.write(block)
            if unpacked.tell() != info.file_size:
                raise ValueError(f"{unpacked.tell()} bytes instead of {info.file_size}")
        except Exception as error:
            unpacked.close()
            raise self._damaged(WEIGHTS, error) from None
        unpacked.seek(0)
        return unpacked, info.file_size

    def _in_place(self, info: zipfile.ZipInfo) -> IO[bytes]:
        """Return a stored member without copying it; its checksum is compared first."""
        self._file.seek(info.header_offset)
        header = self._file.read(_LOCAL_HEADER.size)
        start = info.header_offset + len(header) + sum(_LOCAL_HEADER.unpack(header))
        window = _Window(self._file, start, info.file_size)
        check = 0
        while block := window.read(_BLOCK):
            check = zlib.crc32(block, check)
        if window.tell() != info.file_size or check != info.CRC:
            raise ValueError("it is cut short or its checksum is wrong")
        window.seek(0)
        return io.BufferedReader(window, _BLOCK)

    def _damaged(self, name: str, error: object) -> ValueError:
        return ValueError(f"{self.path!r}: member {name!r} is damaged ({error}).")

    # Checks

    def _checked_members(self) -> dict[str, zipfile.ZipInfo]:
        members: dict[str, zipfile.ZipInfo] = {}
        infos = self._archive.infolist()
        if len(infos) > _MOST_MEMBERS:
            raise ValueError(
                f"{self.path!r} has {len(infos)} members, more than {_MOST_MEMBERS} are refused."
            )
        for info in infos:
            problem = _problem_of(info)
            if info.filename in members:
                problem = "is there twice"
            if problem:
                raise ValueError(f"{self.path!r}: member {info.filename[:200]!r} {problem}.")
            members[info.filename] = info
        for name in (CONFIG, METADATA, WEIGHTS):
            if name not in members:
                raise ValueError(f"{self.path!r} is not a Keras model: member {name!r} is missing.")
        return members


def _problem_of(info: zipfile.ZipInfo) -> str | None:
    """Return what makes a member unacceptable."""
    name = info.filename
    # zipfile cuts names at a zero byte and turns the system's separators; look at both forms.
    for form in (name, info.orig_filename):
        parts = form.replace("\\", "/").split("/")
        if form.startswith(("/", "\\")) or ":" in parts[0] or ".." in parts or "\0" in form:
            return "has a name that leads out of the archive"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device, not a file"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if info.compress_type not in _METHODS:
        return f"is compressed by an unknown method ({info.compress_type})"
    if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
        return "announces another size than it has"
    known = (CONFIG, METADATA, WEIGHTS)
    limit = GREATEST_TEXT.get(name, None if name in known else _GREATEST_UNKNOWN)
    if limit is not None and info.file_size > limit:
        kind_of = "" if name in known else " for one that is not part of a model"
        return f"is too large{kind_of}: {info.file_size} bytes, the limit is {limit}"
    if info.file_size > max(_FREE_SIZE, _GREATEST_RATIO * info.compress_size):
        return f"is a bomb: {info.compress_size} bytes that unpack to {info.file_size}"
    return None


class _Table:
    """A file that does not give much at once until its table of contents has been read.

    zipfile reads the whole table in one go, whose size is what the archive says.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.is_open = False

    def read(self, size: int = -1) -> bytes:
        if not self.is_open and not 0 <= size <= _GREATEST_TABLE:
            size = _GREATEST_TABLE + 1
            data = self._file.read(size)
            if len(data) == size:
                raise ValueError(f"{self._file.name!r}: the table of contents is too large.")
            return data
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Window(io.RawIOBase):
    """Part of a file as a file."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._position))
        self._file.seek(self._start + self._position)
        data = self._file.read(count)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
