"""What is reported to the user about an export: errors, repairs, warnings and notes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["error", "repair", "warning", "note"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 image", "5,056 images"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the export that the user must know. The four constructors `error`, `repair`, `warning` and
    `note` make one of each kind.

    Attributes:
        kind: `error`, could not be read and is missing from the result; `repair`, changed to meet Lightly's rules;
            `warning`, written as it stands, but probably not what was meant; `note`, left out on request or not read.
        code: names what was found, the same for all findings of its sort, as `box-clipped`.
        where: file and line, or file and annotation id.
        message: what was found, what was expected, and what to do about it. Empty: only counted.
        count: how many objects (or lines, images, files) it stands for.
        lost: how many objects are missing from the result because of it.
        image: place of the image in its batch; -1, none. Orders findings, and is not reported.
        lost_images: how many images that the export lists have no file because of it. Of an image that is read and
            then refused, it is set by the pipeline.
        merged_images: how many images that the export lists have the same file as another one that it lists: an image
            of two splits.
    """

    kind: Kind
    code: str
    where: str
    message: str
    count: int = 1
    lost: int = 0
    image: int = -1
    lost_images: int = 0
    merged_images: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"the kind of a finding is one of {', '.join(KINDS)}, not {self.kind!r}")

    @classmethod
    def error(
        cls,
        code: str,
        where: str,
        message: str,
        count: int = 1,
        lost: int = 0,
        *,
        lost_images: int = 0,
        merged_images: int = 0,
    ) -> Finding:
        """Could not be read, and is missing from the result."""
        return cls("error", code, where, message, count, lost, -1, lost_images, merged_images)

    @classmethod
    def repair(
        cls,
        code: str,
        where: str,
        message: str,
        count: int = 1,
        lost: int = 0,
        *,
        lost_images: int = 0,
        merged_images: int = 0,
    ) -> Finding:
        """Changed to meet Lightly's rules."""
        return cls("repair", code, where, message, count, lost, -1, lost_images, merged_images)

    @classmethod
    def warning(
        cls,
        code: str,
        where: str,
        message: str,
        count: int = 1,
        lost: int = 0,
        *,
        lost_images: int = 0,
        merged_images: int = 0,
    ) -> Finding:
        """Written as it stands, but probably not what was meant."""
        return cls("warning", code, where, message, count, lost, -1, lost_images, merged_images)

    @classmethod
    def note(
        cls,
        code: str,
        where: str,
        message: str,
        count: int = 1,
        lost: int = 0,
        *,
        lost_images: int = 0,
        merged_images: int = 0,
    ) -> Finding:
        """Left out on request, or not read."""
        return cls("note", code, where, message, count, lost, -1, lost_images, merged_images)
