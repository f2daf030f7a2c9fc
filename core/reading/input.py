"""The input datasource: the images or videos that Lightly reads, by their names."""

from __future__ import annotations

import os
from pathlib import Path

from labelferry.errors import UsageError, refuse_url
from labelferry.reading.images import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS, find_files, is_video


class InputDatasource:
    """The images and videos below a folder, without hidden files and folders, listed once.

    Attributes:
        root: the folder.
        names: paths relative to it, with forward slashes.
        images: how many of them are images.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names = frozenset(find_files(root, IMAGE_EXTENSIONS | VIDEO_EXTENSIONS))
        self.images = sum(not is_video(name) for name in self.names)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __len__(self) -> int:
        return len(self.names)


def find_input(
    named: str | os.PathLike[str] | None, videos: str | os.PathLike[str] | None, datasource: Path
) -> InputDatasource | None:
    """The input datasource; None where it is not known.

    Args:
        named: as the user names it; `none`: it is not looked at.
        videos: the folder of the videos, or one video.
        datasource: the folder that is written to, which may hold the images, too.

    Raises:
        UsageError: the named one is not a folder.
    """
    if named is not None:
        if str(named) == "none":
            return None
        refuse_url("--input", named)
        root = Path(named).expanduser()
        if not root.is_dir():
            raise UsageError(f"--input: {root} {'is not a folder' if root.exists() else 'does not exist'}")
        return InputDatasource(root)
    if videos is not None:
        path = Path(videos).expanduser()
        root = path if path.is_dir() else path.parent
    else:
        root = datasource
    found = InputDatasource(root) if root.is_dir() else None
    return found if found else None
