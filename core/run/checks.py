"""What only the whole run can tell: whether the names of images exist, whether anything was converted, and whether
every object and image is accounted for."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from labelferry.errors import ExportError
from labelferry.findings import Finding, counted
from labelferry.lightly.categories import category_findings
from labelferry.model import Category
from labelferry.plugin.export import Export
from labelferry.reading.input import InputDatasource
from labelferry.report import Tally
from labelferry.video.frame_count import count_frames
from labelferry.video.names import frame_name

SAMPLE = 1000
"""Names that are not found, from which the reason is derived."""

SHOWN = 20
"""Names that are not found, which a report lists."""

_FRAME = re.compile(r"(.+)-(\d+)-(\w+)\.png")


class NameCheck:
    """Looks up the names of images in the input datasource.

    Args:
        input: the datasource.
        prefix: what `--image-prefix` put before the names.

    Attributes:
        input: the datasource.
        found: how many names exist.
        missing: how many do not.
    """

    def __init__(self, input: InputDatasource, prefix: str = "") -> None:
        self.input = input
        self.found = 0
        self.missing = 0
        self._prefix = prefix
        self._sample: list[str] = []
        self._frame_counts: dict[str, int] = {}

    def look_up(self, name: str) -> None:
        """Count a name as found or missing."""
        if name in self.input.names or self._is_frame(name):
            self.found += 1
            return
        self.missing += 1
        if len(self._sample) < SAMPLE:
            self._sample.append(name)

    def findings(self) -> Iterator[Finding]:
        """Of the names that are missing: an error if all are, else a warning; then examples, each with the reason."""
        if not self.missing:
            return
        make = Finding.warning if self.found else Finding.error
        names = _Names(self.input)
        prefixes = {names.prefix_of(name) for name in self._sample}
        advice = ""
        if len(prefixes) == 1 and (prefix := prefixes.pop()):
            advice = f"; they exist below {prefix!r}: --image-prefix {prefix + self._prefix}"
        elif root := self._higher_root():
            advice = f"; they are relative to a folder above it: --input {root}"
        elif not self.found:
            advice = "; --input DIR names another one, --input none turns this check off"
        text = (
            f"{self.missing:,} of {self.missing + self.found:,} names do not exist in the input datasource "
            f"{self.input.root}{advice}"
        )
        yield make("image-not-in-input", "", text, self.missing)
        for name in self._sample[:SHOWN]:
            yield make("image-not-in-input", name, names.reason(name), 0)

    def _higher_root(self) -> Path | None:
        """The folder to which the missing names are relative, if it is one above the input datasource's."""
        root = self.input.root.absolute()
        for folder in root.parents:
            begin = f"{root.relative_to(folder).as_posix()}/"
            if any(name.removeprefix(begin) in self.input.names for name in self._sample if name.startswith(begin)):
                return folder
        return None

    def _is_frame(self, name: str) -> bool:
        """Whether the name is Lightly's name of a frame that a video of the datasource has."""
        match = _FRAME.fullmatch(name)
        video = match and f"{match[1]}.{match[3]}"
        if not match or not video or video not in self.input.names:
            return False
        if video not in self._frame_counts:
            try:
                self._frame_counts[video] = count_frames(self.input.root / video).frames
            except ExportError:
                self._frame_counts[video] = 0
        count = self._frame_counts[video]
        return int(match[2]) < count and frame_name(video, int(match[2]), count) == name


class _Names:
    """The names of the input datasource, by what of them a missing name may have in common."""

    def __init__(self, input: InputDatasource) -> None:
        self._names = input.names
        self._alike: dict[str, str] = {}
        self._by_base: dict[str, list[str]] = {}
        for name in sorted(input.names):
            self._alike.setdefault(_simplified(name), name)
            self._by_base.setdefault(name.rpartition("/")[2], []).append(name)

    def prefix_of(self, name: str) -> str:
        """The folder, with a slash, below which the name exists; empty if there is none, or several."""
        below = [one for one in self._by_base.get(name.rpartition("/")[2], ()) if one.endswith(f"/{name}")]
        return below[0].removesuffix(name) if len(below) == 1 else ""

    def reason(self, name: str) -> str:
        """What the datasource has in place of a name."""
        if other := self._alike.get(_simplified(name)):
            ways = []
            (stem, extension), (other_stem, other_extension) = os.path.splitext(name), os.path.splitext(other)
            composed, other_composed = unicodedata.normalize("NFC", stem), unicodedata.normalize("NFC", other_stem)
            if composed != other_composed:
                ways.append("upper and lower case")
            if (stem == composed) != (other_stem == other_composed):
                ways.append("the Unicode form")
            if extension != other_extension:
                ways.append("the extension")
            return f"the input datasource has {other!r}, which differs in {' and '.join(ways)}"
        if prefix := self.prefix_of(name):
            return f"the input datasource has {prefix + name!r}"
        for other in self._by_base.get(name.rpartition("/")[2], ()):
            return f"the input datasource has {other!r}"
        return "the input datasource has no file of this name"


def _simplified(name: str) -> str:
    """Equal for names that differ in case, Unicode form or extension only."""
    return unicodedata.normalize("NFC", os.path.splitext(name)[0]).casefold()


def run_findings(
    export: Export, categories: Iterable[Category], tally: Tally, listed: int, source: str, allow_empty: bool
) -> Iterator[Finding]:
    """What the sums of a run say.

    Args:
        export: that was converted.
        categories: of the schema.
        tally: of all chunks.
        listed: images that the export has listed.
        source: the export, for messages.
        allow_empty: whether exports without label files or objects are accepted.

    Raises:
        AmbiguousError: the export can be read in two ways.
    """
    yield from export.judge(tally.evidence)
    yield from category_findings(categories, source)
    if not listed:
        yield Finding.error("no-images", source, "the export lists no image")
        return
    if not allow_empty:
        of_label_files = list(_label_files(tally.evidence, export.label_folders, source))
        yield from of_label_files
        if not (tally.found + tally.interpolated or tally.count("error") or of_label_files):
            text = "the export lists no object for any of its images; --allow-empty accepts this"
            yield Finding.warning("no-objects", source, text)


def _label_files(evidence: Mapping[str, int], folders: tuple[str, ...], source: str) -> Iterator[Finding]:
    """An error if no image has a label file, and a warning of each split without one."""
    counts: dict[str, list[int]] = {}
    for name, count in evidence.items():
        key, _, split = name.partition(":")
        if key in ("label-file", "no-label-file"):
            counts.setdefault(split, [0, 0])[key == "no-label-file"] += count
    if counts and not any(present for present, _ in counts.values()):
        missing = sum(absent for _, absent in counts.values())
        looked = f" in {', '.join(folders)}" if folders else ""
        text = f"no label file for any of {counted(missing, 'image')}{looked}; --allow-empty accepts this"
        yield Finding.error("no-labels", source, text)
        return
    for split, (present, absent) in sorted(counts.items()):
        if not present:
            text = f"no label file for {counted(absent, 'image')} of the split {split!r}; other splits have label files"
            yield Finding.warning("split-without-labels", source, text)


def account_findings(tally: Tally, counted: int | None, format: str) -> Iterator[Finding]:
    """An error for each sum that does not add up: a defect.

    Args:
        tally: of the whole run.
        counted: how many images the export says that it lists; None if it does not say it.
        format: name of the format.
    """
    texts = [tally.unaccounted()]
    if counted is not None and counted != tally.found_images:
        texts.append(f"the export counts {counted:,} images, and {tally.found_images:,} were listed")
    for text in filter(None, texts):
        yield Finding.error("unaccounted", "", f"{text} (a defect of labelferry or of the adapter of {format})")
