"""Files from the network, kept in a cache directory, checked, and resumed when interrupted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

CHUNK_BYTES = 1 << 16
TIMEOUT_SECONDS = 30
ARCHIVE_FORMATS = ("auto", "tar", "zip")


def cache_root() -> Path:
    """Where downloads are kept: $LAMINA_HOME, else ~/.lamina, else a temporary directory."""
    wanted = os.environ.get("LAMINA_HOME")
    root = Path(wanted) if wanted else Path.home() / ".lamina"
    nearest = next(folder for folder in (root, *root.parents) if folder.exists())
    if wanted or os.access(nearest, os.W_OK):
        return root
    import tempfile

    return Path(tempfile.gettempdir()) / ".lamina"


def get_file(
    fname: str | os.PathLike[str] | None = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: str | tuple[str, ...] | list[str] | None = "auto",
    cache_dir: str | os.PathLike[str] | None = None,
    force_download: bool = False,
) -> str:
    """Give the path of a file, downloading it when it is not in the cache yet.

    The file first arrives under another name (`.part`), which an interrupted download continues;
    it gets its own name only when its checksum is right.

    Args:
        fname: name in the cache; None: the last part of `origin`. An absolute path is taken as is.
        origin: URL of the file.
        untar: same as `extract` for a tar archive.
        md5_hash: older name of `file_hash`.
        file_hash: expected checksum in hexadecimal digits.
        cache_subdir: folder inside the cache directory.
        hash_algorithm: "auto" (by the length of `file_hash`), "sha256" or "md5".
        extract: whether to unpack an archive and return the folder.
        archive_format: "auto", "tar", "zip", a list of them, or None for no archive.
        cache_dir: the cache directory; None: $LAMINA_HOME or ~/.lamina.
        force_download: whether to download again.

    Returns:
        Path of the file, or of the folder of its contents when `extract`.

    Raises:
        ValueError: for a wrong argument, or an archive that would write outside its folder.
        OSError: when the file can neither be found nor downloaded, or its checksum is wrong. The
            message says where to put it.
    """
    if not origin:
        raise ValueError(f"get_file: origin must be the URL of the file. Got {origin!r}.")
    if hash_algorithm not in ("auto", "sha256", "md5"):
        raise ValueError(
            f"get_file: hash_algorithm must be 'auto', 'sha256' or 'md5'. Got {hash_algorithm!r}."
        )
    formats = _archive_formats(archive_format)
    name = os.fspath(fname) if fname else _last_part(origin)
    if not name:
        raise ValueError(f"get_file: origin {origin!r} ends without a name; give fname.")
    root = Path(cache_dir).expanduser() if cache_dir is not None else cache_root()
    path = root / cache_subdir / name  # an absolute name replaces what is before it
    expected = file_hash if file_hash is not None else md5_hash
    if force_download or not path.is_file() or not matches_hash(path, expected, hash_algorithm):
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(origin, path, expected, hash_algorithm, fresh=force_download)
    if not (extract or untar):
        return str(path)
    return str(extract_archive(path, ("tar",) if untar and not extract else formats))


def matches_hash(path: Path, expected: str | None, algorithm: str = "auto") -> bool:
    """Whether the file has the expected checksum (always, when None is expected)."""
    if not expected:
        return True
    return _checksum(path, expected, algorithm) == expected.lower()


def extract_archive(path: Path, formats: tuple[str, ...] = ("tar", "zip")) -> Path:
    """Unpack a tar or zip archive into a folder named after it; returns the folder.

    A member that would land outside the folder, a link that points out of it, or a device file
    is refused with a ValueError.
    """
    import tarfile
    import zipfile

    folder = path.with_name(path.name.split(".")[0] + "_extracted")
    stamp = folder / ".complete"
    if stamp.exists() and stamp.stat().st_mtime_ns >= path.stat().st_mtime_ns:
        return folder
    if "zip" in formats and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as zipped:
            for name in zipped.namelist():
                _check_inside(folder, name, path)
            zipped.extractall(folder)
    elif "tar" in formats and tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            _extract_tar(tar, folder, path)
    else:
        raise ValueError(f"get_file: {path} is no archive of the formats {list(formats)}.")
    stamp.touch()
    return folder


def _extract_tar(tar: Any, folder: Path, path: Path) -> None:
    import tarfile

    for member in tar.getmembers():
        _check_inside(folder, member.name, path)
        if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
            raise ValueError(f"get_file: {path} was not unpacked: {member.name!r} is no file.")
        if not hasattr(tarfile, "data_filter") and (member.issym() or member.islnk()):
            raise ValueError(
                f"get_file: {path} was not unpacked: it has the link {member.name!r}, and this "
                "Python cannot unpack links safely; use 3.10.12, 3.11.4 or a later one."
            )
    if not hasattr(tarfile, "data_filter"):
        tar.extractall(folder)
        return
    try:
        tar.extractall(folder, filter="data")
    except tarfile.FilterError as error:
        raise ValueError(f"get_file: {path} was not unpacked: {error}.") from error


def _archive_formats(archive_format: Any) -> tuple[str, ...]:
    if archive_format is None:
        return ()
    names = (archive_format,) if isinstance(archive_format, str) else tuple(archive_format)
    for name in names:
        if name not in ARCHIVE_FORMATS:
            raise ValueError(
                f"get_file: archive_format must be one of {ARCHIVE_FORMATS}. Got {name!r}."
            )
    return ("tar", "zip") if "auto" in names else names


def _last_part(origin: str) -> str:
    from urllib.parse import unquote, urlsplit

    return os.path.basename(unquote(urlsplit(origin).path))


def _checksum(path: Path, expected: str, algorithm: str) -> str:
    import hashlib

    is_sha256 = algorithm == "sha256" or (algorithm == "auto" and len(expected) == 64)
    digest = hashlib.sha256() if is_sha256 else hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(CHUNK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _download(origin: str, path: Path, expected: str | None, algorithm: str, fresh: bool) -> None:
    """Fetch `origin` to `path`: into a .part file, checked, then renamed in one step."""
    from http.client import HTTPException
    from urllib.error import HTTPError

    part = path.with_name(path.name + ".part")
    if fresh:
        part.unlink(missing_ok=True)
    try:
        _fetch(origin, part)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        code = f"{error.code} " if isinstance(error, HTTPError) else ""
        raise OSError(_offline_message(origin, path, f"{code}{reason}")) from error
    if not matches_hash(part, expected, algorithm):
        found = _checksum(part, expected or "", algorithm)
        part.unlink()
        raise OSError(
            f"{origin} has checksum {found}, expected {expected}: it was damaged or replaced. "
            "Nothing was kept."
        )
    os.replace(part, path)


def _fetch(origin: str, part: Path) -> None:
    """Append what is missing of `origin` to `part`; starts anew when the server cannot resume."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    from lamina.utils.messages import print_message

    done = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "lamina"}
    if done:
        headers["Range"] = f"bytes={done}-"
    try:
        response = urlopen(Request(origin, headers=headers), timeout=TIMEOUT_SECONDS)
    except HTTPError as error:
        if error.code != 416 or not done:  # 416: the part is no beginning of the file
            raise
        part.unlink()
        return _fetch(origin, part)
    with response:
        if done and getattr(response, "status", None) != 206:
            done = 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        print_message(f"Downloading data from {origin}")
        received = _copy(response, part, done, total)
    if total is not None and received < total:
        raise OSError(f"the connection ended after {received} of {total} bytes")


def _copy(response: Any, part: Path, done: int, total: int | None) -> int:
    """Write the response behind the first `done` bytes of `part`; returns the size reached."""
    from lamina.utils.progbar import Progbar

    bar = Progbar(total)
    with open(part, "ab" if done else "wb") as file:
        while block := response.read(CHUNK_BYTES):
            file.write(block)
            done += len(block)
            bar.update(done, finalize=total is not None and done >= total)
    return done


def _offline_message(origin: str, path: Path, reason: str) -> str:
    return (
        f"Could not download {origin} ({reason}).\n"
        f"  Without network: put the file there yourself, as {path}\n"
        "  (set LAMINA_HOME to use another cache directory)."
    )


def _check_inside(folder: Path, name: str, archive: Path) -> None:
    root = os.path.abspath(folder)
    target = os.path.abspath(os.path.join(root, name))
    if os.path.commonpath([root, target]) != root or os.path.isabs(name) or "\\" in name:
        raise ValueError(f"get_file: {archive} was not unpacked: {name!r} leaves its folder.")
