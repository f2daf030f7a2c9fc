"""labelferry: labels and predictions from any computer-vision export into a Lightly datasource."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labelferry.adapter import Adapter
    from labelferry.errors import ExportError, LabelferryError, UsageError
    from labelferry.model import Annotations, Category, File, Finding, Image, Object, TaskType, VideoFrame
    from labelferry.pipeline import convert
    from labelferry.registry import register
    from labelferry.report import ConversionError, Report
    from labelferry.rle import RunLengthMask, decode, encode
    from labelferry.task_writer import TaskWriter, VideoWriter, open_task

__all__ = [
    "Adapter",
    "Annotations",
    "Category",
    "ConversionError",
    "ExportError",
    "File",
    "Finding",
    "Image",
    "LabelferryError",
    "Object",
    "Report",
    "RunLengthMask",
    "TaskType",
    "TaskWriter",
    "UsageError",
    "VideoFrame",
    "VideoWriter",
    "convert",
    "decode",
    "encode",
    "open_task",
    "register",
]

_MODULES = {
    "adapter": ("Adapter",),
    "errors": ("ExportError", "LabelferryError", "UsageError"),
    "model": ("Annotations", "Category", "File", "Finding", "Image", "Object", "TaskType", "VideoFrame"),
    "pipeline": ("convert",),
    "registry": ("register",),
    "report": ("ConversionError", "Report"),
    "rle": ("RunLengthMask", "decode", "encode"),
    "task_writer": ("TaskWriter", "VideoWriter", "open_task"),
}


def __getattr__(name: str) -> object:
    """Import what is asked for only then: `labelferry --help` needs no numpy."""
    from importlib import import_module

    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"labelferry.{module}"), name)
    raise AttributeError(f"module 'labelferry' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
