"""Demo: a line for each box, `image width height class x y width height`.

A format of a package of its own.
"""

from pathlib import Path
from typing import Annotated

from labelferry import Adapter, Annotations, Category, Image, Object, TaskType

NAMES = ("person", "car")


class Demo(Adapter):
    tasks = (TaskType.OBJECT_DETECTION,)

    def __init__(self, path: Path, *, scale: Annotated[float, "What coordinates are multiplied by."] = 1.0) -> None:
        self.path = path
        self.scale = scale

    def get_categories(self) -> list[Category]:
        return [Category(i, name) for i, name in enumerate(NAMES)]

    def get_images(self) -> list[Image]:
        return [Image(line.split()[0], line) for line in self.path.read_text().splitlines()]

    def get_labels(self, image: Image) -> Annotations:
        _, width, height, name, *box = image.source.split()
        numbers = [float(number) * self.scale for number in box]
        return Annotations.from_objects([Object(NAMES.index(name), numbers)], (int(width), int(height)))
