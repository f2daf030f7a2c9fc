"""The report of a run: counts, findings with their first examples, and the result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from labelferry.errors import LabelferryError
from labelferry.findings import Finding, Kind

EXAMPLES = 100
"""Findings of one code that a report shows; all are counted."""


@dataclass(slots=True)
class Tally:
    """Counts of one chunk of images, or of a whole run: tallies add up.

    Attributes:
        images: files written.
        empty_images: those of them without objects.
        objects: objects written, by the schema's category id.
        findings: by kind and code: how many, and the first examples (where, message).
    """

    images: int = 0
    empty_images: int = 0
    objects: dict[int, int] = field(default_factory=dict)
    findings: dict[tuple[str, str], tuple[int, list[tuple[str, str]]]] = field(default_factory=dict)

    def add(self, findings: Iterable[Finding]) -> None:
        """Count findings; those with a message become examples."""
        for finding in findings:
            count, examples = self.findings.get((finding.kind, finding.code), (0, []))
            if finding.message and len(examples) < EXAMPLES:
                examples.append((finding.where, finding.message))
            self.findings[finding.kind, finding.code] = count + finding.count, examples

    def merge(self, other: Tally) -> None:
        """Add another tally."""
        self.images += other.images
        self.empty_images += other.empty_images
        for category_id, count in other.objects.items():
            self.objects[category_id] = self.objects.get(category_id, 0) + count
        for key, (count, examples) in other.findings.items():
            own, shown = self.findings.get(key, (0, []))
            self.findings[key] = own + count, shown + examples[: EXAMPLES - len(shown)]

    def take_back(self, other: Tally) -> None:
        """Subtract what was written; findings stay."""
        self.images -= other.images
        self.empty_images -= other.empty_images
        for category_id, count in other.objects.items():
            self.objects[category_id] -= count

    def count(self, *kinds: Kind) -> int:
        """How many findings of these kinds there are."""
        return sum(count for (kind, _), (count, _) in self.findings.items() if kind in kinds)

    def summaries(self, kind: Kind) -> list[FindingSummary]:
        """The findings of one kind, by count in descending order, then by code."""
        found = [FindingSummary(of, code, *value) for (of, code), value in self.findings.items() if of == kind]
        return sorted(found, key=lambda summary: (-summary.count, summary.code))

    def to_json(self) -> list[Any]:
        """Plain values for the journal; `from_json` reads them."""
        return [
            self.images,
            self.empty_images,
            list(self.objects.items()),
            [[*key, *value] for key, value in self.findings.items()],
        ]

    @classmethod
    def from_json(cls, value: list[Any]) -> Tally:
        images, empty_images, objects, findings = value
        return cls(
            images,
            empty_images,
            dict(objects),
            {
                (kind, code): (count, [(where, message) for where, message in examples])
                for kind, code, count, examples in findings
            },
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
        objects: objects in them, by class name, in the order of the schema.
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
