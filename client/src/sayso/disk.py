"""Files that are whole, and there after a power cut."""

import os
from pathlib import Path


def write(path: Path, data: bytes) -> None:
    """Put a file in its place: readers find the old one or the new one, also after a power cut."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    settle(path.parent)


def settle(folder: Path) -> None:
    """See that names given and taken in a directory survive a power cut."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # systems without directories as files
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
