"""The report of a run: counts, findings with their first examples, and the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from labelferry.errors import LabelferryError
from labelferry.findings import Finding, Kind

if TYPE_CHECKING:
    from pathlib import Path

    from labelferry.model import Category
    from labelferry.task_type import TaskType

EXAMPLES = 100
"""Findings of one code that a report shows; all are counted."""


class Collision(NamedTuple):
    """An image that has no prediction file, because another one has the same.

    Attributes:
        path: of the prediction file, relative to the task's folder.
        name: of the image.
        objects: that it has.
    """

    path: str
    name: str
    objects: int


@dataclass(slots=True)
class Tally:
    """Counts of one chunk of images, or of a whole run: tallies add up.

    found + interpolated = the sum of objects + merged + lost, and found_images = images + merged_images + lost_images.

    Attributes:
        images: files written.
        empty_images: those of them without objects.
        found_images: images that the export lists, and frames.
        merged_images: images that have the file of another one that is listed too.
        lost_images: images without a file, each under a finding.
        objects: objects written, by the schema's category id.
        found: objects that the export lists.
        interpolated: objects that reading adds between the keyframes of tracks.
        merged: objects that became part of another one.
        lost: objects that are missing, each under a finding.
        findings: by kind and code: how many, and the first examples (where, message).
        collisions: images whose prediction file another image has.
        files: of one chunk: path and size in bytes of the files written.
        evidence: what only the whole export can judge, counted by name.
    """

    images: int = 0
    empty_images: int = 0
    found_images: int = 0
    merged_images: int = 0
    lost_images: int = 0
    objects: dict[int, int] = field(default_factory=dict)
    found: int = 0
    interpolated: int = 0
    merged: int = 0
    lost: int = 0
    findings: dict[tuple[Kind, str], tuple[int, list[tuple[str, str]]]] = field(default_factory=dict)
    collisions: list[Collision] = field(default_factory=list)
    files: list[tuple[str, int]] = field(default_factory=list)
    evidence: Counter[str] = field(default_factory=Counter)

    def add(self, findings: Iterable[Finding]) -> None:
        """Count findings; those with a message become examples."""
        for finding in findings:
            count, examples = self.findings.get((finding.kind, finding.code), (0, []))
            if finding.message and len(examples) < EXAMPLES:
                examples.append((finding.where, finding.message))
            self.findings[finding.kind, finding.code] = count + finding.count, examples
            self.lost += finding.lost
            self.lost_images += finding.lost_images
            self.merged_images += finding.merged_images

    def merge(self, other: Tally) -> None:
        """Add the counts of a later chunk; its files are left out."""
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for category_id, count in other.objects.items():
            self.objects[category_id] = self.objects.get(category_id, 0) + count
        for key, (count, examples) in other.findings.items():
            own, shown = self.findings.get(key, (0, []))
            self.findings[key] = own + count, shown + examples[: EXAMPLES - len(shown)]
        self.collisions += other.collisions
        self.evidence.update(other.evidence)

    def unaccounted(self) -> str:
        """Which of the sums of objects and images do not add up; empty if both do."""
        faults = []
        written = sum(self.objects.values())
        if self.found + self.interpolated != written + self.merged + self.lost:
            faults.append(
                f"{self.found:,} objects were found and {self.interpolated:,} interpolated; {written:,} are written, "
                f"{self.merged:,} merged and {self.lost:,} lost"
            )
        if self.found_images != self.images + self.merged_images + self.lost_images:
            faults.append(
                f"{self.found_images:,} images were found; {self.images:,} are written, {self.merged_images:,} merged "
                f"and {self.lost_images:,} lost"
            )
        return "; ".join(faults)

    def count(self, *kinds: Kind) -> int:
        """How many findings of these kinds there are."""
        return sum(count for (kind, _), (count, _) in self.findings.items() if kind in kinds)

    def summaries(self, kind: Kind) -> list[FindingSummary]:
        """The findings of one kind, by count in descending order, then by code."""
        found = [FindingSummary(of, code, *value) for (of, code), value in self.findings.items() if of == kind]
        return sorted(found, key=lambda summary: (-summary.count, summary.code))

    def to_json(self) -> dict[str, Any]:
        """Plain values for the journal; `from_json` reads them."""
        return {
            **{name: getattr(self, name) for name in _NUMBERS},
            "objects": list(self.objects.items()),
            "findings": [[*key, *value] for key, value in self.findings.items()],
            "collisions": self.collisions,
            "files": self.files,
            "evidence": self.evidence,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Tally:
        """The tally that `to_json` made these values of."""
        findings = {
            (kind, code): (count, [(where, message) for where, message in examples])
            for kind, code, count, examples in value["findings"]
        }
        return cls(
            **{name: value[name] for name in _NUMBERS},
            objects=dict(value["objects"]),
            findings=findings,
            collisions=[Collision(*one) for one in value["collisions"]],
            files=[(path, size) for path, size in value["files"]],
            evidence=Counter(value["evidence"]),
        )


_NUMBERS = (
    *("images", "empty_images", "found_images", "merged_images", "lost_images"),
    *("found", "interpolated", "merged", "lost"),
)


@dataclass(slots=True)
class FindingSummary:
    """All findings of one code.

    Attributes:
        kind: `error`, `repair`, `warning` or `note`.
        code: names what was found.
        count: how many objects, lines or images they concern.
        examples: the first of them that have a message: place and message.
    """

    kind: Kind
    code: str
    count: int
    examples: list[tuple[str, str]]


@dataclass(slots=True)
class Report:
    """What a conversion did.

    Lists of findings are sorted by count in descending order, then by code.

    Attributes:
        format: name of the input format.
        source: the export.
        datasource: folder that holds `.lightly`.
        task_name: the task's name.
        task_type: its type.
        published: whether the task is in the datasource now; False if there are errors that prevent it.
        videos: number of videos whose frames the images are; 0 if they are not frames.
        images: prediction files of this task.
        empty_images: those of them without objects.
        resumed_images: those of them that an earlier, interrupted run has written.
        objects: objects in them, by class name, in the order of the schema; classes of one name are counted apart, as
            `car (id 0)` and `car (id 2)`.
        found_objects: objects that the export lists. found + interpolated = written + merged + lost.
        interpolated_objects: objects that reading adds between the keyframes of tracks.
        merged_objects: objects that became part of another one, as the masks of a class in semantic segmentation.
        lost_objects: objects that are missing from the result; each is counted by a finding.
        found_images: images (or frames) that the export lists. found = images + merged + lost.
        merged_images: images that have the file of another one that is listed too, as one of two splits.
        lost_images: images without a file; each is counted by a finding.
        input: root of the input datasource in which the images' names were looked up; None: they were not.
        root: folder that the names are relative to, as far as the export tells; else empty.
        names_in_input: how many of the names exist in the input datasource.
        input_without_file: images of the input datasource that have no prediction file of this task.
        unchecked_orientations: images that were out of reach, so that their EXIF orientation is not known: their labels
            are taken to be for the pixels as stored.
        example: name of an image and its prediction file, relative to the task's folder; None if there is none.
        errors: what could not be read; with `on_error="skip"` it is missing from the task. With `strict`, followed by
            the repairs, and these by the warnings.
        repairs: what was changed to meet Lightly's rules.
        warnings: what was written as it stands, but is probably not what was meant.
        notes: what was left out on request, or not read.
        seconds: duration of the run.
    """

    format: str
    source: str
    datasource: str
    task_name: str
    task_type: str
    published: bool
    videos: int
    images: int
    empty_images: int
    resumed_images: int
    objects: dict[str, int]
    found_objects: int
    interpolated_objects: int
    merged_objects: int
    lost_objects: int
    found_images: int
    merged_images: int
    lost_images: int
    input: str | None
    root: str
    names_in_input: int
    input_without_file: int
    unchecked_orientations: int
    example: tuple[str, str] | None
    errors: list[FindingSummary]
    repairs: list[FindingSummary]
    warnings: list[FindingSummary]
    notes: list[FindingSummary]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `--report` writes them."""
        return asdict(self)


class ConversionError(LabelferryError):
    """The export has errors, so nothing was published; `report` lists them all."""

    def __init__(self, report: Report) -> None:
        count = sum(finding.count for finding in report.errors)
        examples = [": ".join(filter(None, example)) for finding in report.errors for example in finding.examples]
        first = f"; the first: {examples[0]}" if examples else ""
        super().__init__(f"{count} error(s), nothing was published{first}")
        self.report = report

    def __reduce__(self) -> tuple[type[ConversionError], tuple[Report]]:  # for process pools
        return ConversionError, (self.report,)


def make_report(
    format: str,
    source: str,
    datasource: Path,
    task_name: str,
    task: TaskType,
    categories: Iterable[Category],
    tally: Tally,
    *,
    videos: int,
    input: str | None = None,
    root: str = "",
    names_in_input: int = 0,
    input_without_file: int = 0,
    unchecked_orientations: int = 0,
    example: tuple[str, str] | None = None,
    published: bool = True,
    resumed_images: int = 0,
    strict: bool = False,
    seconds: float,
) -> Report:
    """The report of a run with this tally; `strict` counts repairs and warnings as errors."""
    errors, repairs, warnings = (tally.summaries(kind) for kind in ("error", "repair", "warning"))
    if strict:
        errors, repairs, warnings = errors + repairs + warnings, [], []
    return Report(
        format=format,
        source=source,
        datasource=str(datasource),
        task_name=task_name,
        task_type=task.value,
        published=published,
        videos=videos,
        images=tally.images,
        empty_images=tally.empty_images,
        resumed_images=resumed_images,
        objects=_by_name(categories, tally.objects),
        found_objects=tally.found,
        interpolated_objects=tally.interpolated,
        merged_objects=tally.merged,
        lost_objects=tally.lost,
        found_images=tally.found_images,
        merged_images=tally.merged_images,
        lost_images=tally.lost_images,
        input=input,
        root=root,
        names_in_input=names_in_input,
        input_without_file=input_without_file,
        unchecked_orientations=unchecked_orientations,
        example=example,
        errors=errors,
        repairs=repairs,
        warnings=warnings,
        notes=tally.summaries("note"),
        seconds=round(seconds, 3),
    )


def _by_name(categories: Iterable[Category], objects: Mapping[int, int]) -> dict[str, int]:
    """Counts of objects by the name of the category, with the schema's id where several have the name."""
    listed = list(categories)
    times = Counter(category.name for category in listed)
    return {
        category.name if times[category.name] == 1 else f"{category.name} (id {category.id})": objects.get(
            category.id, 0
        )
        for category in listed
    }
