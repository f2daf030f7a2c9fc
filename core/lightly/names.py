"""Names of tasks, images and prediction files, and what they may hold.

Source: https://docs.lightly.ai/docs/prediction-format, and the models in the PyPI package `lightly`.
"""

from __future__ import annotations

import re

from labelferry.errors import ExportError, UsageError

TASK_NAME = re.compile(r"[a-zA-Z0-9_+=,.@:/-]+")
SCHEMA = "schema.json"
TASKS = "tasks.json"


def check_task_name(name: str) -> None:
    """Lightly's pattern for task names, which are folders below `.lightly/predictions`.

    Raises:
        UsageError: the name does not match.
    """
    if not TASK_NAME.fullmatch(name):
        raise UsageError(f"the task name {name!r} may hold only letters of a-z, digits and _+=,.@:/-")
    # a segment with a dot in front would be a hidden folder, '.' and '..' among them
    if any(not part or part.startswith(".") for part in name.split("/")):
        raise UsageError(f"the task name {name!r} has an empty part or one that begins with a dot")


def image_name(name: str, prefix: str = "") -> str:
    """An image's path relative to the input datasource, as `file_name` holds it.

    Raises:
        ExportError: it is empty, absolute, leaves the datasource, cannot be a file name, or its prediction file would
            be the task's schema.
    """
    if "\\" in name:  # exports made on Windows
        name = name.replace("\\", "/")
    if prefix:
        name = prefix.rstrip("/") + "/" + name
    if not name.isascii() or "\0" in name:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ExportError(f"the image name {name!r} is not Unicode; rename the file", code="file-name") from None
    if "://" in name:
        text = f"{name!r} is a URL; the name of an image is its path relative to the input datasource's root"
        raise ExportError(text, code="file-name")
    if name.startswith(("/", ".")) or "/." in name or "//" in name or name.endswith("/"):
        parts = [part for part in name.split("/") if part not in ("", ".")]
        absolute = name.startswith("/")
        name = "/".join(parts)
        if absolute or ".." in parts:
            raise ExportError(
                f"the image name {name!r} {'is absolute' if absolute else 'leads out of the datasource'}; "
                "it must be relative to the input datasource's root",
                code="file-name",
            )
    if not name or "\0" in name or name[1:3] == ":/":
        raise ExportError(f"{name!r} is not the relative path of an image", code="file-name")
    if name.startswith("schema") and prediction_path(name) == SCHEMA:
        text = f"the prediction file of {name!r} would be the task's {SCHEMA}; rename the image"
        raise ExportError(text, code="name-collision")
    return name


def prediction_path(name: str) -> str:
    """The prediction file of an image, relative to the task's folder: its path, with the extension `.json`."""
    stem, dot, extension = name.rpartition(".")
    is_extension = dot and "/" not in extension and stem and stem[-1] != "/"
    return f"{stem if is_extension else name}.json"
