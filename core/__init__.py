"""Labels and predictions from any computer-vision export into a Lightly datasource.

    import labelferry

    report = labelferry.convert("dataset/data.yaml", "datasource", format="yolo")

Functions; help(labelferry.convert) describes one, and so on:

    detect(path)                         which format an export has
    convert(source, datasource, ...)     one export into one task
    batch(plan, datasource, ...)         many exports into a task each
    open_task(datasource, name, ...)     a task for the predictions of a model, image by image
    encode(mask), decode(counts, shape)  a mask as Lightly's run lengths, and back
    register(name)                       class decorator: an adapter as a format

What they return and take:

    Detections, Detection                the formats that an export may have, and one of them
    Report                               what a conversion did
    Outcome                              the result of a job of a batch
    TaskWriter, VideoWriter              what open_task gives, and its video()
    TaskType                             Lightly's five task types

For formats of your own:

    Adapter                              base class: reads an export
    Category, Image, VideoFrame          what an adapter lists
    Annotations, Object, RunLengthMask   the labels of an image
    Finding                              an error, a repair, a warning or a note about an export

Exceptions:

    LabelferryError                      base of all of them
    UsageError                           the call is wrong
    ExportError                          the export, or a prediction, cannot be read
    AmbiguousError                       the export can be read in two ways: names the option that decides
    ConversionError                      the export has errors: nothing was published; has the report

The documentation is in docs/ of the repository; docs/python.md is about Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labelferry.errors import AmbiguousError as AmbiguousError
    from labelferry.errors import ExportError as ExportError
    from labelferry.errors import LabelferryError as LabelferryError
    from labelferry.errors import UsageError as UsageError
    from labelferry.findings import Finding as Finding
    from labelferry.model import Annotations as Annotations
    from labelferry.model import Category as Category
    from labelferry.model import Image as Image
    from labelferry.model import Object as Object
    from labelferry.model import VideoFrame as VideoFrame
    from labelferry.plugin.adapter import Adapter as Adapter
    from labelferry.plugin.detect import Detection as Detection
    from labelferry.plugin.detect import Detections as Detections
    from labelferry.plugin.detect import detect as detect
    from labelferry.plugin.registry import register as register
    from labelferry.predictions.task_writer import TaskWriter as TaskWriter
    from labelferry.predictions.task_writer import VideoWriter as VideoWriter
    from labelferry.predictions.task_writer import open_task as open_task
    from labelferry.report import ConversionError as ConversionError
    from labelferry.report import Report as Report
    from labelferry.run.batch import Outcome as Outcome
    from labelferry.run.batch import batch as batch
    from labelferry.run.convert import convert as convert
    from labelferry.run_lengths import RunLengthMask as RunLengthMask
    from labelferry.run_lengths import decode as decode
    from labelferry.run_lengths import encode as encode
    from labelferry.task_type import TaskType as TaskType

    __version__: str

_MODULES = {
    "errors": ("AmbiguousError", "ExportError", "LabelferryError", "UsageError"),
    "findings": ("Finding",),
    "run_lengths": ("RunLengthMask", "decode", "encode"),
    "model": ("Annotations", "Category", "Image", "Object", "VideoFrame"),
    "plugin.adapter": ("Adapter",),
    "plugin.detect": ("Detection", "Detections", "detect"),
    "plugin.registry": ("register",),
    "predictions.task_writer": ("TaskWriter", "VideoWriter", "open_task"),
    "report": ("ConversionError", "Report"),
    "run.batch": ("Outcome", "batch"),
    "run.convert": ("convert",),
    "task_type": ("TaskType",),
}

# There is no `__all__`: with one, help(labelferry) shows every name at full length, 2,300 lines.


def __getattr__(name: str) -> object:
    """Import what is asked for only then: `labelferry --help` needs no numpy."""
    from importlib import import_module, metadata

    if name == "__version__":
        return metadata.version("labelferry")
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"labelferry.{module}"), name)
    raise AttributeError(f"module 'labelferry' has no attribute {name!r}")


def __dir__() -> list[str]:
    return ["__version__", *sorted(name for names in _MODULES.values() for name in names)]
