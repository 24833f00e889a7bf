"""Files that are there after a power cut, whole or as they were before."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` in the place of a file, durably; a reader sees the old or the new.

    Raises:
        OSError: It cannot be written; the old file is unchanged.
    """
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def create_secret(path: Path, data: bytes) -> None:
    """Put `data` where no file is yet, durably, readable by its owner alone.

    Of several processes the first one wins; the others leave its file as it is. What an
    interruption leaves is the same file under a second name.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = _beside(path)
    try:
        _write_secret(partial, data)
        # A link fails where a file already is.
        os.link(partial, path)
    except FileExistsError:
        return
    finally:
        partial.unlink(missing_ok=True)
        sync_folder(path.parent)


def replace_secret(path: Path, data: bytes) -> None:
    """Put `data` in the place of a file, durably, readable by its owner alone.

    Raises:
        OSError: It cannot be written; the old file is unchanged.
    """
    partial = _beside(path)
    try:
        _write_secret(partial, data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


def _write_secret(path: Path, data: bytes) -> None:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable.

    Raises:
        OSError: It cannot be done.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
