"""labelferry: labels and predictions from any computer-vision export into a Lightly datasource."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labelferry.errors import ExportError, LabelferryError, UsageError
    from labelferry.findings import Finding
    from labelferry.model import Annotations, Category, File, Image, Object, VideoFrame
    from labelferry.plugin.adapter import Adapter
    from labelferry.plugin.registry import register
    from labelferry.predictions.task_writer import TaskWriter, VideoWriter, open_task
    from labelferry.report import ConversionError, Report
    from labelferry.run.convert import convert
    from labelferry.run_lengths import RunLengthMask, decode, encode
    from labelferry.task_type import TaskType

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
    "errors": ("ExportError", "LabelferryError", "UsageError"),
    "run_lengths": ("RunLengthMask", "decode", "encode"),
    "findings": ("Finding",),
    "model": ("Annotations", "Category", "File", "Image", "Object", "VideoFrame"),
    "task_type": ("TaskType",),
    "plugin.adapter": ("Adapter",),
    "plugin.registry": ("register",),
    "predictions.task_writer": ("TaskWriter", "VideoWriter", "open_task"),
    "report": ("ConversionError", "Report"),
    "run.convert": ("convert",),
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
