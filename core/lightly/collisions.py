"""Images that would share a prediction file: none of them has one."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import orjson

from labelferry.findings import Finding
from labelferry.report import Tally


def leave_out_collisions(folder: Path, tally: Tally) -> list[str]:
    """Remove the files that several images would share, and count them as errors.

    Images share a prediction file if they differ only in extension, have one name, or differ in case on a file system
    that does not. The first to come has written it.

    Args:
        folder: of the task.
        tally: of the run; its collisions are settled.

    Returns:
        The names of the images whose files are removed.
    """
    removed = []
    names: dict[str, list[str]] = {}
    objects: Counter[str] = Counter()
    for collision in tally.collisions:
        names.setdefault(collision.path, []).append(collision.name)
        objects[collision.path] += collision.objects
    tally.collisions = []
    for path in sorted(names):
        content = orjson.loads((folder / path).read_bytes())
        os.unlink(folder / path)
        removed.append(content["file_name"])
        tally.images -= 1
        tally.empty_images -= not content["predictions"]
        for prediction in content["predictions"]:
            tally.objects[prediction["category_id"]] -= 1
        sharing = sorted([*names[path], content["file_name"]])
        shown = ", ".join(sharing[:3]) + (", ..." if len(sharing) > 3 else "")
        text = f"{len(sharing)} images ({shown}) would share the prediction file {path}; rename them"
        lost = objects[path] + len(content["predictions"])
        tally.add([Finding.error("name-collision", sharing[0], text, len(sharing), lost, lost_images=len(sharing))])
    return removed
