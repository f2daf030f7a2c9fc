"""CVAT: XML 1.1 for images and for video: boxes, polygons, masks, ellipses, cuboids, points, skeletons, tags, tracks.

One annotations.xml, of a task, a job, or a project with several tasks; or a folder of such files. Coordinates are in
pixels from the top left corner. A track's shapes are given for every frame, or for keyframes alone: then those between
are interpolated as CVAT does.

Definition: https://docs.cvat.ai/docs/manual/advanced/xml_format/
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from labelferry.columns import Batch
from labelferry.converters.cvat.document import VALUES, ImageElement, Shape, Task, Track, XmlFile
from labelferry.converters.cvat.objects import Draft, ShapeReader, Source, tasks_of, with_masks
from labelferry.converters.cvat.tracks import Frame, frames_of
from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.model import Category, Image, VideoFrame
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request, in_batches
from labelferry.plugin.probe import HEAD, Match, Probe
from labelferry.plugin.registry import register
from labelferry.reading.images import find_files, is_video
from labelferry.task_type import TaskType


@register("cvat")
class Cvat(Adapter):
    """Reads CVAT XML."""

    tasks = (
        TaskType.KEYPOINT_DETECTION,
        TaskType.INSTANCE_SEGMENTATION,
        TaskType.OBJECT_DETECTION,
        TaskType.CLASSIFICATION,
    )

    def __init__(
        self,
        path: Path,
        *,
        only: Annotated[str | None, "Only this task of a project, by its id or name; by default all."] = None,
    ) -> None:
        self.path = path
        self.only = only

    @classmethod
    def detect(cls, probe: Probe) -> Iterator[Match]:
        paths = [probe.path] if probe.path.suffix.lower() == ".xml" else []
        if probe.is_dir:
            paths = [probe.path / name for name in probe.files(probe.path, frozenset((".xml",)), depth=1)[0][:50]]
        for path in paths:
            head = probe.head(path)
            if b"<annotations" not in head[:HEAD] or b"<meta>" not in head[:HEAD]:
                continue
            tasks = tasks_of(kind for kind in VALUES if f"<{kind} ".encode() in head)
            images = None
            if probe.is_small(path):
                export = cls(path).open(Request())
                tasks, images = export.tasks, export.count_images()
            kind = "video" if b"<track" in head else "images"
            yield Match(path, f"CVAT for {kind}", tasks, images or None)

    def open(self, request: Request) -> Export:
        return _CvatExport(self.path, self.only, request)


class _Part(NamedTuple):
    """What is wanted of a file: its images, and by task id the tracks of its videos."""

    file: XmlFile
    images: list[ImageElement]
    videos: dict[str, list[Track]]

    def shapes(self) -> Iterator[Shape]:
        """All shapes, also those that are outside."""
        for image in self.images:
            yield from image.shapes
        for tracks in self.videos.values():
            for track in tracks:
                yield from (shape for _, shape in track.shapes)


class _CvatExport(Export):
    """The tasks that are wanted of XML files. Shapes travel to workers with their images, labels with the export."""

    def __init__(self, path: Path, only: str | None, request: Request) -> None:
        files = [XmlFile(file) for file in _paths_of(path)]
        if only is not None and not any(_is_wanted(file, task_id, only) for file in files for task_id in file.tasks):
            have = ", ".join(task.name or task_id for file in files for task_id, task in file.tasks.items())
            raise ExportError(f"no task {only!r}; it has {have or 'none'}", where=str(path), code="no-task")
        self._findings: list[Finding] = []
        self._parts = [_part_of(file, only, self._findings) for file in files]
        self._several = sum(len(file.tasks) for file in files) > 1
        self._frames_wanted = request.frames
        self._labels = _merged_labels(files)
        if not self._labels:  # files without <meta>
            names = {shape.label for part in self._parts for shape in part.shapes()}
            self._labels = {name: Category(i, name) for i, name in enumerate(sorted(names))}
        kinds = {shape.kind for part in self._parts for shape in part.shapes()}
        super().__init__(request, tasks_of(kinds), list(self._labels.values()), [file.path for file in files])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_parts": []}

    def count_images(self) -> int | None:
        count = 0
        for file, images, videos in self._parts:
            count += len(images)
            for task_id, tracks in videos.items():
                frames = file.task(task_id).frames
                if frames is None:
                    return None
                shapes = (numbered for track in tracks for numbered in track.shapes)
                beyond = {number for number, shape in shapes if number not in frames and not shape.outside}
                count += len(frames) + len(beyond)
        return count

    def images(self) -> Iterator[Image | Finding]:
        yield from self._findings
        for file, images, videos in self._parts:
            for image in images:
                task = file.task(file.task_id(image.task))
                source = Source(
                    file.path, tuple(image.shapes), image.size or task.size, image.found, 0, tuple(image.findings)
                )
                is_frame = is_video(task.source)
                name = image.name if os.path.splitext(image.name)[1] or not is_frame else f"{image.name}.png"
                yield Image(name, source, VideoFrame(task.source, image.number) if is_frame else None)
            for task_id, tracks in videos.items():
                yield from self._frames(file, file.task(task_id), tracks)

    def _frames(self, file: XmlFile, task: Task, tracks: list[Track]) -> Iterator[Image | Finding]:
        """The frames of a task's video; where images are wanted, also those without a shape."""
        if task.is_images and not self._frames_wanted:
            text = (
                f"the task {task.name!r} is of images, which the format for video does not name: export it for images"
            )
            yield Finding.error("images-unnamed", file.path, text, lost=sum(track.found for track in tracks))
            return
        for track in tracks:
            yield from track.findings
        frames = frames_of(tracks, file.path, task.frames, file.lists_all_frames)
        listed = () if self._frames_wanted or task.frames is None else task.frames
        folder = f"{os.path.splitext(task.video)[0]}/" if self._several else ""
        for number in sorted({*frames, *listed}):
            frame = frames.get(number) or Frame()
            source = Source(
                file.path, tuple(frame.shapes), task.size, frame.found, frame.interpolated, tuple(frame.findings)
            )
            yield Image(f"{folder}frame_{number:06d}.png", source, VideoFrame(task.video, number))

    def read(self, images: Sequence[Image], payload: Any) -> Iterator[Batch]:
        drafts = map(self._draft, images)
        if self.source_task is TaskType.INSTANCE_SEGMENTATION:
            return in_batches(images, with_masks(list(drafts)))
        return in_batches(images, (draft.labels for draft in drafts))

    def _draft(self, image: Image) -> Draft:
        size = image.source.size or image.size
        if size is None:
            text = "the file gives no size of the image"
            return Draft(Finding.error("image-size", image.source.file, text, lost=image.source.found), [])
        return ShapeReader(image, size, self._labels, self.source_task).draft()


def _paths_of(path: Path) -> list[str]:
    """The XML files of an export."""
    if path.suffix.lower() == ".zip":
        text = "a ZIP archive; unpack it, and name the annotations.xml or the folder"
        raise ExportError(text, where=str(path), code="not-cvat")
    if not path.is_dir():
        return [str(path)]
    paths = [f"{path}/{name}" for name in find_files(path, frozenset((".xml",)))]
    if not paths:
        raise ExportError("no XML file in it", where=str(path), code="no-labels")
    return paths


def _is_wanted(file: XmlFile, task_id: str, only: str | None) -> bool:
    return only is None or only in (task_id, file.task(task_id).name)


def _part_of(file: XmlFile, only: str | None, findings: list[Finding]) -> _Part:
    """What is wanted of a file; what is not is counted in the findings."""
    findings += file.findings
    left_out: Counter[str] = Counter()
    part = _Part(file, [], {})
    for image in file.images:
        task_id = file.task_id(image.task)
        if _is_wanted(file, task_id, only):
            part.images.append(image)
        else:
            left_out[task_id] += image.found
    if file.tracks or not file.images:
        part.videos.update((task_id, []) for task_id in file.tasks if _is_wanted(file, task_id, only))
    for track in file.tracks:
        task_id = file.task_id(track.task)
        if file.tasks and task_id not in file.tasks:
            text = f"a track of the task {task_id!r}, which the file's head does not list"
            findings.append(Finding.error("unknown-task", f"{file.path}:{track.line}", text, lost=track.found))
        elif _is_wanted(file, task_id, only):
            part.videos.setdefault(task_id, []).append(track)
        else:
            left_out[task_id] += track.found
    for task_id, count in left_out.items():
        if count:
            text = f"shapes of the task {file.task(task_id).name or task_id!r}, which --only does not name"
            findings.append(Finding.note("task-left-out", file.path, text, count, count))
    return part


def _merged_labels(files: list[XmlFile]) -> dict[str, Category]:
    """The labels of all files, by name."""
    labels: dict[str, Category] = {}
    for file in files:
        for name, category in file.labels.items():
            known = labels.setdefault(name, category._replace(id=len(labels)))
            if known.keypoints != category.keypoints:
                text = f"the label {name!r} has other keypoints than in another file"
                raise ExportError(text, where=file.path, code="keypoints-differ")
    return labels
