"""The system calls that write files into a local folder."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labelferry.errors import UsageError, refuse_url

try:
    import fcntl
except ImportError:  # Windows: no lock against a second run at the same time
    fcntl = None  # type: ignore[assignment]


def local_folder(path: str | Path) -> Path:
    """A datasource's folder.

    Raises:
        UsageError: the path is a URL, or a file.
    """
    refuse_url("the datasource", path)
    folder = Path(path).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"the datasource {folder} is a file; name the folder that holds, or is to hold, .lightly")
    return folder


def write_new(path: str, data: bytes) -> None:
    """Write a whole file, creating parent folders; on an error nothing is left of it.

    Raises:
        FileExistsError: there is a file already.
        OSError: it cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        file = os.open(path, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        file = os.open(path, flags, 0o666)
    try:
        written = os.write(file, data)
        while written < len(data):  # a write may be short
            written += os.write(file, memoryview(data)[written:])
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(file)


def replace_file(path: Path, data: bytes, temporary: Path) -> None:
    """Write a whole file as `temporary`, sync it, and rename it: the path always holds the old or the new content."""
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def exchange_folders(one: Path, other: Path) -> None:
    """Exchange two folders; on Linux and macOS in one step."""
    names = os.fsencode(one), os.fsencode(other)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            done = libc.renamex_np(*names, 2) == 0  # RENAME_SWAP
        else:
            done = libc.renameat2(-100, names[0], -100, names[1], 2) == 0  # AT_FDCWD, RENAME_EXCHANGE
    except (AttributeError, OSError, TypeError):
        done = False
    if not done:
        aside = other.with_name(f".{other.name}.old")
        remove_folder(aside)
        os.rename(other, aside)
        os.rename(one, other)
        os.rename(aside, one)


def remove_folder(path: Path) -> None:
    """Remove a folder with its content, if it exists."""
    shutil.rmtree(path, ignore_errors=True)


def try_lock(file: int) -> bool:
    """Lock an open file until it is closed or its process ends. Returns False if another process holds the lock."""
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Hold the lock on a folder; waits while another process holds it."""
    if fcntl is None:
        yield
        return
    file = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
