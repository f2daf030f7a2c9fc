"""What a run says of itself: counts, findings with their first examples, and the result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from labelferry.findings import Finding

EXAMPLES = 100
"""Findings of one code that a report shows; the count goes on."""


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
        for finding in findings:
            count, examples = self.findings.get((finding.kind, finding.code), (0, []))
            if len(examples) < EXAMPLES:
                examples.append((finding.where, finding.message))
            self.findings[finding.kind, finding.code] = count + finding.count, examples

    def merge(self, other: Tally) -> None:
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

    def count(self, kind: str) -> int:
        """How many findings of one kind there are."""
        return sum(count for (of, _), (count, _) in self.findings.items() if of == kind)

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
        kind: `error`, `repair` or `note`.
        code: what they are.
        count: how many objects, lines or images they concern.
        examples: the first of them: where, and what was found.
    """

    kind: str
    code: str
    count: int
    examples: list[tuple[str, str]]


@dataclass(slots=True)
class Report:
    """What a conversion did.

    Attributes:
        format: name of the input format.
        source: the export.
        datasource: folder that holds `.lightly`.
        task_name: the task's name.
        task_type: its type.
        published: whether the task is in the datasource now; False if errors forbade it.
        videos: whose frames the images are; 0 if they are images.
        images: prediction files of this task.
        empty_images: those of them without objects.
        resumed_images: those of them that an earlier, interrupted run had written.
        objects: objects in them, by class name, in the order of the schema.
        errors: what could not be read; with `on_error="skip"` it is missing from the task.
        repairs: what was changed to meet Lightly's rules.
        notes: what was left out because it was asked for.
        seconds: how long it took.
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
    notes: list[FindingSummary]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `--report` writes them."""
        return asdict(self)


class ConversionError(Exception):
    """The export has errors, so nothing was published; `report` lists them all."""

    def __init__(self, report: Report) -> None:
        count = sum(finding.count for finding in report.errors)
        first = report.errors[0].examples[0]
        super().__init__(f"{count} error(s), nothing was published; the first: {first[0]}: {first[1]}")
        self.report = report
