"""CVAT: XML 1.1 for images and for video: boxes, polygons, masks, ellipses, cuboids, points, skeletons, tags, tracks.

One annotations.xml, of a task, a job, or a project with several tasks; or a folder of such files. Coordinates are in
pixels from the top left corner. A track's shapes are given for every frame, or for keyframes alone: then those between
are interpolated as CVAT does.

Definition: https://docs.cvat.ai/docs/manual/advanced/xml_format/
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from labelferry.columns import Batch
from labelferry.converters.cvat.document import VALUES, ImageElement, Shape, Task, Track, XmlFile
from labelferry.converters.cvat.objects import Draft, ShapeReader, Source, tasks_of, with_masks
from labelferry.converters.cvat.tracks import Frame, beyond, frames_of
from labelferry.errors import AmbiguousError, ExportError
from labelferry.findings import Finding
from labelferry.model import Category, Image, Listed, Refused, VideoFrame
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request, in_batches
from labelferry.plugin.probe import HEAD, Match, Probe
from labelferry.plugin.registry import register
from labelferry.reading.images import IMAGE_EXTENSIONS, find_files, is_video
from labelferry.reading.keys import judge_keys
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
        subset_folders: Annotated[
            bool | None,
            "The images of a project are in a folder for each subset; by default as they are found in the folder "
            "images beside the XML file, or in the input datasource.",
        ] = None,
    ) -> None:
        self.path = path
        self.only = only
        self.subset_folders = subset_folders

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
        return _CvatExport(self, request)


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

    def __init__(self, adapter: Cvat, request: Request) -> None:
        path, only = adapter.path, adapter.only
        files = [XmlFile(file) for file in _paths_of(path)]
        if only is not None and not any(_is_wanted(file, task_id, only) for file in files for task_id in file.tasks):
            have = ", ".join(task.name or task_id for file in files for task_id, task in file.tasks.items())
            raise ExportError(f"no task {only!r}; it has {have or 'none'}", where=str(path), code="no-task")
        self._findings: list[Finding] = []
        self._parts = [_part_of(file, only, self._findings) for file in files]
        self._several = sum(len(file.tasks) for file in files) > 1
        self._frames_wanted = request.frames
        self._subset_folders = adapter.subset_folders
        self._input = request.input
        self._labels = _merged_labels(files)
        if not self._labels:  # files without <meta>
            names = {shape.label for part in self._parts for shape in part.shapes()}
            self._labels = {name: Category(i, name) for i, name in enumerate(sorted(names))}
            if names:
                text = "the head lists no labels; those of the shapes are taken, in alphabetical order"
                self._findings.append(Finding.warning("labels-missing", str(path), text))
        kinds = {shape.kind for part in self._parts for shape in part.shapes()}
        super().__init__(request, tasks_of(kinds), list(self._labels.values()), [file.path for file in files])

        evidence = sum((file.evidence for file in files), Counter[str]())
        self._findings += judge_keys(evidence, str(path))
        if len(files) == 1 and os.path.isdir(folder := _images_beside(files[0])):
            self.root = folder

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_parts": [], "_input": None}

    def count_images(self) -> int | None:
        count = sum(finding.lost_images for finding in self._findings)
        for part in self._parts:
            count += len(part.images)
            for task_id, tracks in part.videos.items():
                frames = part.file.task(task_id).frames
                if frames is None:
                    return None
                count += len(frames) + len(_frames_beyond(tracks, frames))
        return count

    def images(self) -> Iterator[Listed]:
        yield from self._findings
        all_names = self._names()
        if self._input is None:  # else names are looked up there
            yield from self._compare_with_files_beside(all_names)
        names = iter(all_names)
        for file, images, videos in self._parts:
            beside = self._files_of(file)
            for image in images:
                task = file.task(file.task_id(image.task))
                source = Source(
                    file.path, tuple(image.shapes), image.size or task.size, image.found, 0, tuple(image.findings)
                )
                frame, fault = None, image.fault
                if is_video(task.source):
                    frame = VideoFrame(task.source, image.number or 0)
                    if image.number is None:
                        fault = fault or f"the id of the image {image.name!r}, its frame of the video, is not a number"
                name = next(names)
                path = f"{_images_beside(file)}/{name}" if name in beside else ""
                listed = Image(name, source, frame, path=path)
                where = f"{file.path}:{image.line}"
                yield Refused(listed, Finding.error("broken-image", where, fault)) if fault else listed
            for task_id, tracks in videos.items():
                yield from self._frames(file, file.task(task_id), tracks)

    def _names(self) -> list[str]:
        """The names of all images, in order: within a folder for each subset, or not, as they exist.

        Raises:
            AmbiguousError: it cannot be seen which.
        """
        names: list[str | None] = []
        options: list[tuple[str, str]] = []
        are_nested: set[bool] = set()
        for file, images, _ in self._parts:
            known = [self._files_of(file)]
            if self._input is not None:
                known.append(self._input.names)
            for image in images:
                is_frame = is_video(file.task(file.task_id(image.task)).source)
                plain = _with_extension(image.name, is_frame, known)
                nested = _with_extension(f"{image.subset}/{image.name}", is_frame, known) if image.subset else plain
                options.append((plain, nested))
                if plain == nested:
                    names.append(plain)
                elif self._subset_folders is not None:
                    names.append(nested if self._subset_folders else plain)
                else:
                    is_nested = _is_nested(plain, nested, known)
                    names.append(None if is_nested is None else nested if is_nested else plain)
                    are_nested.update(() if is_nested is None else (is_nested,))
        if None in names and len(are_nested) < 2:
            is_nested = are_nested == {True}
            chosen = [name or option[is_nested] for name, option in zip(names, options, strict=True)]
            if are_nested or len(set(chosen)) == len(chosen) or len({nested for _, nested in options}) < len(chosen):
                return chosen
        if None in names:
            plain, nested = options[names.index(None)]
            raise AmbiguousError(
                f"the image is {plain!r} or, in the folder of its subset, {nested!r}, and neither is found: say "
                "--subset-folders or --no-subset-folders, or name the input datasource with --input",
                where=self.files[0],
            )
        return [name for name in names if name is not None]

    def _compare_with_files_beside(self, names: list[str]) -> Iterator[Finding]:
        """Images that are listed and are not beside the XML file, if some are; and the reverse."""
        at = 0
        for file, images, _ in self._parts:
            listed = set(names[at : at + len(images)])
            at += len(images)
            known = set(self._files_of(file))
            if not known & listed:
                continue
            if missing := sorted(listed - known):
                text = f"{len(missing):,} images are not in {_images_beside(file)}, as {missing[0]!r}"
                yield Finding.warning("image-not-found", file.path, text, len(missing))
            if others := sorted(known - listed):
                text = f"{len(others):,} images in {_images_beside(file)} are not listed, as {others[0]!r}"
                yield Finding.note("image-not-listed", file.path, text, len(others))

    def _files_of(self, file: XmlFile) -> Collection[str]:
        """The images beside an XML file."""
        folder = _images_beside(file)
        return set(find_files(Path(folder), IMAGE_EXTENSIONS)) if os.path.isdir(folder) else ()

    def _frames(self, file: XmlFile, task: Task, tracks: list[Track]) -> Iterator[Image | Finding]:
        """The frames of a task's video; where images are wanted, also those without a shape."""
        if task.is_images and not self._frames_wanted:
            text = (
                f"the task {task.name!r} is of images, which the format for video does not name: export it for images"
            )
            lost = sum(track.found for track in tracks)
            count = 0 if task.frames is None else len(task.frames) + len(_frames_beyond(tracks, task.frames))
            yield Finding.error("images-unnamed", file.path, text, lost=lost, lost_images=count)
            return
        for track in tracks:
            yield from track.findings
            for number, shape in track.shapes if task.frames else ():
                assert task.frames is not None
                if shape.outside and number not in task.frames and number != task.frames[-1] + task.frames.step:
                    where = f"{file.path}:{shape.line}"
                    yield Finding.warning("frame-beyond-task", where, beyond(number, task.frames))
        frames = frames_of(tracks, file.path, task.frames, file.lists_all_frames)
        listed = () if self._frames_wanted or task.frames is None else task.frames
        folder = f"{os.path.splitext(task.video)[0]}/" if self._several else ""
        known = [self._files_of(file), () if self._input is None else self._input.names]
        for number in sorted({*frames, *listed}):
            frame = frames.get(number) or Frame()
            source = Source(
                file.path, tuple(frame.shapes), task.size, frame.found, frame.interpolated, tuple(frame.findings)
            )
            name = _with_extension(f"{folder}frame_{number:06d}", True, known)
            path = f"{_images_beside(file)}/{name}" if name in known[0] else ""
            yield Image(name, source, VideoFrame(task.video, number), path=path)

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


def _images_beside(file: XmlFile) -> str:
    """The folder in which CVAT puts the images of an export."""
    return os.path.join(os.path.dirname(file.path), "images")


def _with_extension(name: str, is_frame: bool, known: Sequence[Collection[str]]) -> str:
    """The name of an image; of a video's frame, which is named without extension, with that of its file, or .png."""
    if not is_frame or os.path.splitext(name)[1]:
        return name
    candidates = [name + extension for extension in (".png", ".PNG", ".jpg", ".jpeg")]
    return next((one for names in known for one in candidates if one in names), candidates[0])


def _is_nested(plain: str, nested: str, known: Sequence[Collection[str]]) -> bool | None:
    """Whether an image exists in the folder of its subset, not without it; None if in neither.

    Args:
        plain: its name without the folder of its subset.
        nested: its name with it.
        known: the names that exist, in the places that are looked in in turn.

    Raises:
        AmbiguousError: it exists in both.
    """
    for names in known:
        if plain in names and nested in names:
            text = f"both {plain!r} and {nested!r} exist: say --subset-folders or --no-subset-folders"
            raise AmbiguousError(text)
        if plain in names or nested in names:
            return nested in names
    return None


def _frames_beyond(tracks: list[Track], frames: range) -> set[int]:
    """The frames of objects that are not among those of the task."""
    shapes = (numbered for track in tracks for numbered in track.shapes)
    return {number for number, shape in shapes if number not in frames and not shape.outside}


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
    left_out_images: Counter[str] = Counter()
    part = _Part(file, [], {})
    for image in file.images:
        task_id = file.task_id(image.task)
        if file.tasks and task_id not in file.tasks:
            text = f"an image of the task {task_id!r}, which the file's head does not list"
            where = f"{file.path}:{image.line}"
            findings.append(Finding.error("unknown-task", where, text, lost=image.found, lost_images=1))
        elif _is_wanted(file, task_id, only):
            part.images.append(image)
        else:
            left_out[task_id] += image.found
            left_out_images[task_id] += 1
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
        images = left_out_images[task_id]
        if count or images:
            text = f"shapes of the task {file.task(task_id).name or task_id!r}, which --only does not name"
            text += f", in {images:,} images" if images else ""
            findings.append(Finding.note("task-left-out", file.path, text, count, count, lost_images=images))
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
