"""Lightly's task types, and which follow from which. Without numpy: the command line needs it for `--help`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from labelferry.errors import UsageError


class TaskType(str, Enum):
    """Lightly's five task types, by the names of its `schema.json`."""

    CLASSIFICATION = "classification"
    OBJECT_DETECTION = "object-detection"
    KEYPOINT_DETECTION = "keypoint-detection"
    INSTANCE_SEGMENTATION = "instance-segmentation"
    SEMANTIC_SEGMENTATION = "semantic-segmentation"

    def __str__(self) -> str:
        return self.value

    @classmethod
    def of(cls, name: TaskType | str) -> TaskType:
        """The task type of this name.

        Raises:
            UsageError: Lightly has none of this name.
        """
        try:
            return cls(name)
        except ValueError:
            raise UsageError(f"there is no task type {str(name)!r}; Lightly has {', '.join(cls)}") from None


DERIVED: dict[TaskType, tuple[TaskType, ...]] = {
    TaskType.INSTANCE_SEGMENTATION: (TaskType.OBJECT_DETECTION, TaskType.SEMANTIC_SEGMENTATION),
    TaskType.KEYPOINT_DETECTION: (TaskType.OBJECT_DETECTION,),
}
"""The task types that can be made of another one."""


def obtainable(held: Iterable[TaskType]) -> dict[TaskType, TaskType]:
    """Every task type that can be made of an export that holds these, with the one it is made of; richest first."""
    held = tuple(held)
    sources = {task: task for task in held}
    for source in held:
        for task in DERIVED.get(source, ()):
            sources.setdefault(task, source)
    return sources
