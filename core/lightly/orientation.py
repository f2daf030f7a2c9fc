"""Which picture labels were drawn on, where an image or video is stored mirrored or turned, and the labels for its
pixels as stored. docs/orientation.md has the rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from labelferry.columns import UNKNOWN, Batch
from labelferry.errors import AmbiguousError
from labelferry.findings import Finding
from labelferry.lightly.turning import turned_back
from labelferry.model import Image, Picture
from labelferry.run_lengths import Floats

EDGE = 1.0
"""Pixels that a label may reach over the edge of its picture and still not contradict that it was drawn on it."""

ANSWERS = "say --orientation stored or --orientation upright"


def is_decided_by_size(picture: Picture) -> bool:
    """Whether the upright picture has another size than the pixels as stored."""
    return picture.upright_size != picture.size


def how_turned(name: str, picture: Picture) -> str:
    """The beginning of a message about an image or video that is stored turned."""
    if picture.video:
        return f"the video {picture.video} is stored turned (as the EXIF orientation {picture.orientation})"
    return f"{name} is stored turned (EXIF orientation {picture.orientation})"


def undecided(name: str, picture: Picture) -> AmbiguousError:
    """The question for which picture labels are."""
    text = "nothing tells whether the labels are for the upright picture or for the pixels as stored"
    return AmbiguousError(f"{how_turned(name, picture)}, and {text}; {ANSWERS}")


def turned_videos(evidence: Mapping[str, int]) -> Iterator[Finding]:
    """A repair of each video whose labels were turned, as `for_stored_pixels` counts them."""
    for name in evidence:
        key, _, video = name.partition(":")
        if key == "turned-video":
            text = (
                "its frames are stored turned, and the labels are for the upright ones: turned back, to the pixels as "
            )
            yield Finding.repair("orientation", video, text + "stored; --orientation stored leaves them as they are")


def for_stored_pixels(
    batch: Batch, images: Sequence[Image], read: Callable[[list[Image]], Iterable[Batch]] | None = None
) -> Batch:
    """The batch with labels for the pixels as stored, and the sizes of these.

    Labels for a picture of another size are errors. Of images whose size has decided, `evidence` counts what for.

    Args:
        batch: as read.
        images: that it is of.
        read: reads the labels of some of the images once more; None: they cannot be read twice.

    Raises:
        AmbiguousError: a label contradicts what the size decides, or there is no size that decides.
    """
    pictures = [image.picture for image in images]
    if not any(pictures):
        return batch
    stored = np.array([picture.size if picture else UNKNOWN for picture in pictures], np.int64)
    is_known = (batch.sizes != UNKNOWN).any(axis=1) & (stored != UNKNOWN).any(axis=1)
    fits = ~is_known | (batch.sizes == stored).all(axis=1)
    turned = [b for b, picture in enumerate(pictures) if picture is not None and picture.orientation != 1]
    if not turned and is_known.all() and fits.all():
        return batch
    orientations = np.ones(len(images), np.int64)
    sizes = np.where((stored == UNKNOWN).all(axis=1)[:, None], batch.sizes, stored)
    evidence: Counter[str] = Counter()
    ends = _ends(batch) if turned else np.zeros((0, 2))
    looks_stored = []
    for b in turned:
        picture, given = _picture(images[b]), tuple(batch.sizes[b].tolist())
        if picture.drawn_on == "upright" or _is_upright_by_size(batch, ends, b, images[b]):
            fits[b] = given in (UNKNOWN, picture.size, picture.upright_size)
            orientations[b], sizes[b] = picture.orientation, picture.upright_size
            evidence["drawn-on:upright"] += not picture.drawn_on
        elif not picture.drawn_on and given == picture.size and batch.counts[b]:
            looks_stored.append(b)
    if looks_stored and read is not None:
        _check_stored([images[b] for b in looks_stored], read)
    for b in looks_stored:
        _refute(batch, ends, b, images[b], _picture(images[b]).size, _picture(images[b]).upright_size)
    evidence["drawn-on:stored"] += len(looks_stored)
    wrong = ~fits & (batch.counts > 0)
    findings = [*batch.findings]
    findings += [_wrong_size(batch, b, images[b]) for b in np.flatnonzero(wrong & ~batch.refused).tolist()]
    for b in np.flatnonzero((orientations != 1) & ~wrong & (batch.counts > 0) & ~batch.refused).tolist():
        picture = _picture(images[b])
        if picture.video:
            evidence[f"turned-video:{picture.video}"] += 1
            continue
        text = f"the labels are for the upright picture (EXIF orientation {picture.orientation}): turned back, to the "
        text += "pixels as stored; --orientation stored leaves them as they are"
        findings.append(Finding("repair", "orientation", batch.names[b], text, image=b))
    kept = batch.take(~wrong[batch.owners]) if wrong.any() else batch
    evidence += batch.evidence
    done = replace(kept, sizes=sizes, refused=kept.refused | wrong, findings=findings, evidence=evidence)
    return turned_back(done, orientations) if (orientations != 1).any() else done


def _picture(image: Image) -> Picture:
    assert image.picture is not None
    return image.picture


def _is_upright_by_size(batch: Batch, ends: Floats, b: int, image: Image) -> bool:
    """Whether the size that the export gives decides that the labels of image b are for its upright picture.

    Raises:
        AmbiguousError: the size decides nothing, and there are labels; or a label contradicts it.
    """
    picture, given = _picture(image), tuple(batch.sizes[b].tolist())
    if picture.drawn_on:
        return False
    if given == UNKNOWN or not is_decided_by_size(picture):
        if batch.counts[b]:
            raise undecided(image.file_name, picture)
        return False
    if given != picture.upright_size:
        return False
    _refute(batch, ends, b, image, picture.upright_size, picture.size)
    return True


def _check_stored(images: list[Image], read: Callable[[list[Image]], Iterable[Batch]]) -> None:
    """Read the labels of images, which seem to be for the pixels as stored, as if they were for the upright pictures.

    Raises:
        AmbiguousError: then they seem to be for those: their size is not the export's, or a mask reaches beyond it.
    """
    asked = []
    for image in images:
        picture = _picture(image)._replace(drawn_on="upright")
        asked.append(image._replace(size=picture.upright_size, picture=picture))
    at = 0
    for batch in read(asked):
        ends = _ends(batch)
        for b in range(len(batch.names)):
            image, picture = asked[at + b], _picture(asked[at + b])
            if tuple(batch.sizes[b].tolist()) == picture.upright_size:
                raise undecided(image.file_name, picture)
            _refute(batch, ends, b, image, picture.size, picture.upright_size)
        at += len(batch.names)


def _refute(batch: Batch, ends: Floats, b: int, image: Image, size: tuple[int, int], other: tuple[int, int]) -> None:
    """See whether a label of image b contradicts that it was drawn on a picture of this size.

    Raises:
        AmbiguousError: it reaches beyond it, and does not reach beyond the other size.
    """
    low, high = batch.bounds[b : b + 2].tolist()
    own = ends[low:high]
    with np.errstate(invalid="ignore"):
        beyond = (own > np.array(size) + EDGE).any(axis=1) & (own <= np.array(other) + EDGE).all(axis=1)
    if not beyond.any():
        return
    row = int(batch.rows[low + int(beyond.argmax())])
    where = batch.locate(row) if batch.locate is not None else image.file_name
    which = "pixels as stored" if size == _picture(image).size else "upright picture"
    text = (
        f"the size that the export gives, {size[0]} x {size[1]}, is that of its {which}, but this label reaches beyond "
        f"it, as if it was for {other[0]} x {other[1]}"
    )
    raise AmbiguousError(f"{how_turned(image.file_name, _picture(image))}; {text}; {ANSWERS}", where=where)


def _ends(batch: Batch) -> Floats:
    """(N, 2) how far each object reaches to the right and downwards, in pixels."""
    ends = np.zeros((len(batch), 2))
    with np.errstate(invalid="ignore", over="ignore"):
        if batch.boxes is not None:
            ends = np.fmax(ends, batch.boxes[:, :2] + batch.boxes[:, 2:])
        if batch.keypoints is not None:
            points = batch.keypoints.labelled().boxes()
            ends = np.fmax(ends, points[:, :2] + points[:, 2:])
    if batch.masks is not None:
        masks = batch.masks.boxes()
        ends = np.fmax(ends, masks[:, :2] + masks[:, 2:])
    return ends


def _wrong_size(batch: Batch, b: int, image: Image) -> Finding:
    """The error of labels for a picture of another size."""
    picture = _picture(image)
    (own_width, own_height), (width, height) = batch.sizes[b].tolist(), picture.size
    text = f"the labels are for {own_width} x {own_height} pixels, the {'video' if picture.video else 'image'} has "
    text += f"{width} x {height}"
    if picture.orientation != 1:
        of_upright = " x ".join(map(str, picture.upright_size))
        text += f" as stored, and {of_upright} upright" if is_decided_by_size(picture) else ", upright too"
    code = "frame-size" if picture.video else "image-size"
    return Finding("error", code, batch.names[b], text, 1, int(batch.counts[b]), b)
