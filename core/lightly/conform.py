"""Lightly's rules for predictions, and how each violation is repaired or refused, with a code of its own.

Rules: https://docs.lightly.ai/docs/prediction-format; docs/repairs.md lists every code. All objects of a batch are
checked at once; messages are made for violations only. Every rule is judged object by object: a faulty object never
changes another one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from labelferry.columns import UNKNOWN, Batch, Keypoints
from labelferry.findings import Finding, Kind
from labelferry.lightly.categories import CategoryPlan
from labelferry.report import EXAMPLES
from labelferry.run_lengths import Bools, Floats, Int64
from labelferry.task_type import TaskType

EDGE_TOLERANCE = 0.01
"""Pixels over the edge that are rounding, as of YOLO's six digits. Lightly demands only x, y >= 0: so little over the
right or lower edge stays as it is, and over the left or upper edge it is a repair with a code of its own."""

SUM_TOLERANCE = 1e-6
"""How far the sum of probabilities may be from 1 and count as 1."""

ROUNDING = 1e-2
"""How far the sum of probabilities may be from 1 to be rounding and not an error."""

_MOST = np.finfo(np.float64).max

_WITH_MASKS = (TaskType.INSTANCE_SEGMENTATION, TaskType.SEMANTIC_SEGMENTATION)

Message = str | Callable[[int], str]
"""A text, or a function that makes it of the number of an object or image."""


class Unaccounted(Exception):
    """Objects are neither in the result nor among the findings: a defect of labelferry or of an adapter."""


@dataclass(frozen=True, slots=True)
class Target:
    """What labels are converted to.

    Attributes:
        task: the task type.
        plan: the schema's categories.
        score: the score of objects that have none.
        has_sizes: whether the sizes of images are known.
    """

    task: TaskType
    plan: CategoryPlan
    score: float = 1.0
    has_sizes: bool = True


def conform(batch: Batch, target: Target) -> tuple[Batch, list[Finding]]:
    """The batch as Lightly accepts it, in the schema's category ids and with the columns of the task only.

    Args:
        batch: as read; it is not changed.
        target: what to convert to.

    Returns:
        The batch, and what was repaired, refused or left out.

    Raises:
        Unaccounted: a defect in this function.
    """
    task, work = target.task, _Work(batch)
    _categories(work, target.plan)
    if task is TaskType.CLASSIFICATION:
        counts = work.batch.counts
        work.refuse(
            counts > 1, "classes-many", lambda b: f"{counts[b]} classes for one image; classification takes one"
        )
        _probabilities(work, target.plan)
        _scores(work, target.score)
        _one_class(work, target.plan)
    else:
        _sizes(work, target.has_sizes)
        if task in _WITH_MASKS:
            _masks(work)
        if task is TaskType.KEYPOINT_DETECTION:
            _keypoints(work, target.plan)
        _scores(work, target.score)
        _probabilities(work, target.plan)
        if task is TaskType.SEMANTIC_SEGMENTATION:
            _unite(work)
        else:
            _boxes(work, needed=task is not TaskType.KEYPOINT_DETECTION)
    done = work.batch
    done.masks = done.masks if task in _WITH_MASKS else None
    done.keypoints = done.keypoints if task is TaskType.KEYPOINT_DETECTION else None
    done.boxes = None if task in (TaskType.CLASSIFICATION, TaskType.SEMANTIC_SEGMENTATION) else done.boxes
    lost = sum(finding.lost for finding in work.findings)
    if len(batch) != len(done) + lost + done.merged:
        raise Unaccounted(f"{len(batch)} objects read, {len(done)} left, {lost} reported, {done.merged} merged")
    return done, work.findings


class _Work:
    """The batch in its present state, and the findings so far. Objects leave it through `drop` and `refuse` only."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch.copy()
        self.findings: list[Finding] = []
        self._read = batch
        self._owners: Int64 | None = None

    @property
    def owners(self) -> Int64:
        """(N,) the image of each object."""
        if self._owners is None:
            self._owners = self.batch.owners
        return self._owners

    def reported(self) -> Bools:
        """(B,) whether there is a finding about an image."""
        reported = np.zeros(len(self.batch.names), np.bool_)
        reported[[finding.image for finding in (*self._read.findings, *self.findings) if finding.image >= 0]] = True
        return reported

    def report(self, kind: Kind, code: str, which: Bools, message: Message, lost: bool = False) -> None:
        """One finding for each image with such objects, citing its first; at most EXAMPLES have a text."""
        objects = np.flatnonzero(which)
        if not len(objects):
            return
        images = self.owners[objects]
        firsts = np.flatnonzero(np.concatenate(([True], images[1:] != images[:-1])))
        counts = np.diff(np.append(firsts, len(objects))).tolist()
        for n, (first, image, count) in enumerate(
            zip(objects[firsts].tolist(), images[firsts].tolist(), counts, strict=True)
        ):
            where = text = ""
            if n < EXAMPLES:
                where = self._where(first)
                text = message if isinstance(message, str) else message(first)
            self.findings.append(Finding(kind, code, where, text, count, count if lost else 0, image))

    def drop(self, *reasons: tuple[Kind, str, Bools, Message]) -> Bools:
        """Remove the objects that any of these reasons (kind, code, which, message) names; returns which stay."""
        keep = np.ones(len(self.batch), np.bool_)
        for kind, code, which, message in reasons:
            self.report(kind, code, which & keep, message, lost=True)
            keep &= ~which
        if not keep.all():
            self.batch = self.batch.take(keep)
            self._owners = None
        return keep

    def refuse(self, which: Bools, code: str, message: Message) -> None:
        """These images (B,) get no file; it is an error."""
        images = np.flatnonzero(which & ~self.batch.refused)
        if not len(images):
            return
        counts = self.batch.counts
        for b in images.tolist():
            text = message if isinstance(message, str) else message(b)
            self.findings.append(Finding("error", code, self.batch.names[b], text, 1, int(counts[b]), b))
        self.batch.refused = self.batch.refused.copy()
        self.batch.refused[images] = True
        self.batch = self.batch.take(~self.batch.refused[self.owners])
        self._owners = None

    def replace_objects(self, batch: Batch) -> None:
        """Go on with a batch that has other objects."""
        self.batch = batch
        self._owners = None

    def _where(self, i: int) -> str:
        batch, row = self.batch, int(self.batch.rows[i])
        if batch.locate is not None:
            return batch.locate(row)
        b = int(self.owners[i])
        return f"{batch.names[b]}, object {row - int(self._read.bounds[b]) + 1}"


def _categories(work: _Work, plan: CategoryPlan) -> None:
    """The schema's ids; objects of classes that are left out or unknown are dropped."""
    ids = work.batch.category_ids
    known = plan.source_ids
    place = np.minimum(known.searchsorted(ids), max(len(known) - 1, 0))
    missing = known[place] != ids if len(known) else np.ones(len(ids), np.bool_)
    if missing.any():
        left_out = np.isin(ids, np.array(list(plan.dropped), np.int64))
        shown = ", ".join(str(i) for i in list(plan.ids)[:10]) + (", ..." if len(plan.ids) > 10 else "")
        unknown = "category id {} is not one of the export's categories ({})"
        unwanted = "class {!r} is not among --classes"
        work.drop(
            ("note", "class-left-out", left_out, lambda i: unwanted.format(plan.dropped[int(ids[i])])),
            ("error", "unknown-category", missing, lambda i: unknown.format(ids[i], shown)),
        )
        place = place[~missing]
    work.batch.category_ids = plan.schema_ids[place] if len(known) else place


def _sizes(work: _Work, has_sizes: bool) -> None:
    sizes = work.batch.sizes
    if (sizes > 0).all():
        return
    unknown = (sizes == UNKNOWN).all(axis=1)
    if has_sizes:
        text = "the image's width and height are not known: the export does not give them"
        work.refuse(unknown, "image-size", text)
    wrong = ~unknown & (sizes < 1).any(axis=1)
    text = "the image is said to have {} x {} pixels"
    work.refuse(wrong, "image-size", lambda b: text.format(*sizes[b].tolist()))


def _masks(work: _Work) -> None:
    """As large as the image, and not empty."""
    masks, owners = work.batch.masks, work.owners
    if masks is None:
        work.refuse(work.batch.counts > 0, "no-masks", "the adapter gives no masks")
        return
    sizes = work.batch.sizes[owners]
    unknown = (sizes == UNKNOWN).all(axis=1)  # then the first mask gives the image's size
    sizes = np.where(unknown[:, None], masks.sizes[work.batch.bounds[owners]], sizes) if len(owners) else sizes
    text = "the mask has {} x {} pixels, the image {} x {}"
    work.drop(
        (
            "error",
            "mask-size",
            (masks.sizes != sizes).any(axis=1),
            lambda i: text.format(*masks.sizes[i].tolist(), *sizes[i].tolist()),
        ),
    )
    _drop_empty_masks(work)


def _drop_empty_masks(work: _Work) -> None:
    masks = work.batch.masks
    assert masks is not None
    work.drop(("repair", "mask-empty", masks.is_empty(), "the mask has no pixel; dropped"))


def _keypoints(work: _Work, plan: CategoryPlan) -> None:
    """As many as the category names, finite, with scores in [0, 1] and coordinates >= 0."""
    batch, keypoints = work.batch, work.batch.keypoints
    if keypoints is None:
        work.refuse(batch.counts > 0, "no-keypoints", "the adapter gives no keypoints")
        return
    counts = np.diff(keypoints.offsets)
    by_id = np.zeros(max((category.id for category in plan.categories), default=0) + 1, np.int64)
    for category in plan.categories:
        by_id[category.id] = len(category.keypoints)
    named = by_id[batch.category_ids]
    points = keypoints.points
    finite = np.asarray(np.isfinite(points).all(axis=1))
    with np.errstate(invalid="ignore"):
        in_range: Bools = (points[:, 2] >= 0) & (points[:, 2] <= 1)
    work.drop(
        (
            "error",
            "broken-keypoints",
            (named > 0) & (counts != named),
            lambda i: f"{counts[i]} keypoints, the category names {named[i]}",
        ),
        ("error", "broken-keypoints", keypoints.any(~finite), "a keypoint holds a number that is not finite"),
        ("error", "broken-keypoints", keypoints.any(~in_range), "a keypoint has a score outside of [0, 1]"),
    )
    unnamed = by_id[work.batch.category_ids] == 0
    work.report("note", "keypoints-unnamed", unnamed, "keypoints of a category that names none")
    keypoints = work.batch.keypoints
    assert keypoints is not None
    outside = np.asarray(keypoints.points < 0)
    if outside.any():
        text = "a keypoint lies left of or above the image; moved to its edge"
        work.report("repair", "keypoint-clipped", keypoints.any(np.asarray(outside.any(axis=1))), text)
        work.batch.keypoints = Keypoints(np.where(outside, 0, keypoints.points), keypoints.offsets)
    _warn_of_keypoints_outside(work)


def _warn_of_keypoints_outside(work: _Work) -> None:
    """Lightly allows keypoints right of and below the image, where no visible one is."""
    batch, keypoints = work.batch, work.batch.keypoints
    assert keypoints is not None
    sizes = np.where((batch.sizes == UNKNOWN).all(axis=1)[:, None], np.inf, batch.sizes)
    limits = np.repeat(sizes[work.owners] + EDGE_TOLERANCE, np.diff(keypoints.offsets), axis=0)
    beyond = (keypoints.points[:, :2] > limits).any(axis=1) & (keypoints.points[:, 2] > 0)
    if beyond.any():
        text = "a keypoint lies right of or below the image"
        work.report("warning", "keypoint-outside", keypoints.any(np.asarray(beyond)), text)


def _scores(work: _Work, default: float) -> None:
    """In [0, 1]; the default where the export has none."""
    scores = work.batch.scores
    if scores is None:
        work.batch.scores = np.full(len(work.batch), float(default))
        return
    with np.errstate(invalid="ignore"):
        sound = (scores >= 0) & (scores <= 1)
        near = (scores >= -SUM_TOLERANCE) & (scores <= 1 + SUM_TOLERANCE)
    if sound.all():
        return
    work.report("repair", "score-rounded", near & ~sound, "the score is outside of [0, 1] by rounding; clipped")
    work.batch.scores = np.where(near, np.clip(scores, 0, 1), scores)

    def text(i: int) -> str:
        question = "; is it a percentage?" if 1 < scores[i] <= 100 else ""
        return f"the score {scores[i]:.6g} is not in [0, 1]{question}"

    work.drop(("error", "score-out-of-range", ~near, text))


def _probabilities(work: _Work, plan: CategoryPlan) -> None:
    """One for each category of the schema, each in [0, 1], summing to 1."""
    given = work.batch.probabilities
    if given is None:
        return
    if given.shape[1] != len(plan.columns):
        text = f"{given.shape[1]} probabilities for {len(plan.columns)} categories"
        work.refuse(work.batch.counts > 0, "probabilities-count", text)
        work.batch.probabilities = np.zeros((0, len(plan.categories)))
        return
    with np.errstate(invalid="ignore", over="ignore"):
        sums = given.sum(axis=1)
        sound = (given >= 0).all(axis=1) & (np.abs(sums - 1) <= ROUNDING)
    text = "the probabilities sum to {:.6g} and must be >= 0 and sum to 1; are they logits?"
    keep = work.drop(("error", "probabilities-sum", ~sound, lambda i: text.format(sums[i])))
    given, sums = given[keep], sums[keep]
    uneven = np.abs(sums - 1) > SUM_TOLERANCE
    text_uneven = "the probabilities sum to {:.6g}; divided by their sum"
    work.report("repair", "probabilities-renormalised", uneven, lambda i: text_uneven.format(sums[i]))
    merged = np.zeros((len(given), len(plan.categories)))
    for column, place in enumerate(plan.columns):
        if place >= 0:
            merged[:, place] += given[:, column]
    divided = uneven | bool(plan.dropped)
    if divided.any():
        left = merged[divided].sum(axis=1)
        nothing = left == 0  # all of it was on classes that are left out
        if nothing.any():
            at = np.flatnonzero(divided)[nothing]
            own = np.searchsorted([category.id for category in plan.categories], work.batch.category_ids[at])
            merged[at, own] = left[nothing] = 1
        merged[divided] /= left[:, None]
    work.batch.probabilities = np.minimum(merged, 1)


def _one_class(work: _Work, plan: CategoryPlan) -> None:
    """Refuse images without a class, in silence where a finding says why already; a label's probability is 1."""
    none = (work.batch.counts == 0) & ~work.batch.refused
    if none.any():
        work.refuse(none & ~work.reported(), "class-missing", "the image has no class")
        work.batch.refused = work.batch.refused | none
    if work.batch.probabilities is None:
        ids = [category.id for category in plan.categories]
        work.batch.probabilities = (work.batch.category_ids[:, None] == ids).astype(np.float64)


def _unite(work: _Work) -> None:
    """One object for each category of an image, ascending by category id: the union of the masks, the best score.

    Lightly allows at most one entry for each category in semantic segmentation. Probabilities belong to objects: an
    object that is merged has none.
    """
    batch, masks = work.batch, work.batch.masks
    if masks is None or not len(batch):
        return
    order = np.lexsort((batch.category_ids, work.owners))
    ids, owners = batch.category_ids[order], work.owners[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = (ids[1:] != ids[:-1]) | (owners[1:] != owners[:-1])
    firsts = np.flatnonzero(first)
    is_merged = np.diff(np.append(firsts, len(order))) > 1
    if batch.probabilities is not None:
        left_out = np.zeros(len(order), np.bool_)
        left_out[order] = np.repeat(is_merged, np.diff(np.append(firsts, len(order))))
        left_out &= np.isfinite(batch.probabilities).all(axis=1)
        text = "the object is united with others of its class, and its probabilities are left out"
        work.report("repair", "probabilities-left-out", left_out, text)
    if (order[1:] < order[:-1]).any():
        masks = masks.take(order)
    batch.masks = masks if first.all() else masks.unions(np.cumsum(first) - 1)
    batch.merged = len(order) - len(firsts)
    batch.category_ids, batch.rows = ids[firsts], batch.rows[order][firsts]
    if batch.scores is not None:
        batch.scores = np.maximum.reduceat(batch.scores[order], firsts)
    if batch.probabilities is not None:
        batch.probabilities = np.where(is_merged[:, None], np.nan, batch.probabilities[order][firsts])
    batch.bounds = np.searchsorted(owners[firsts], np.arange(len(batch.names) + 1))
    work.replace_objects(batch)


def _boxes(work: _Work, needed: bool) -> None:
    """x, y >= 0, width, height >= 1, within the image."""
    batch = work.batch
    if batch.boxes is None:
        if not needed or not len(batch):
            return
        if batch.masks is not None:
            _drop_empty_masks(work)
            batch = work.batch
            assert batch.masks is not None
            batch.boxes = batch.masks.boxes()
        elif batch.keypoints is not None:
            batch.boxes = batch.keypoints.boxes()
        else:
            work.refuse(batch.counts > 0, "no-boxes", "the adapter gives neither boxes nor masks nor keypoints")
            return
    boxes = batch.boxes
    unknown = (batch.sizes == UNKNOWN).all(axis=1)
    limits = (np.where(unknown[:, None], _MOST, batch.sizes) + EDGE_TOLERANCE)[work.owners]
    with np.errstate(invalid="ignore", over="ignore"):
        corners, extents = boxes[:, :2], boxes[:, 2:]
        sound = (corners >= 0) & (extents >= 1) & (corners + extents <= limits)
    if not sound.all():
        sizes = np.where(unknown[:, None], np.inf, batch.sizes)
        _repair_boxes(work, boxes, np.flatnonzero(~sound.all(axis=1)), sizes)


def _repair_boxes(work: _Work, boxes: Floats, at: Int64, sizes: Floats) -> None:
    """Clip, grow or drop the boxes at these places.

    Args:
        work: whose boxes these are.
        boxes: (N, 4) all boxes.
        at: places of those that break a rule.
        sizes: (B, 2) width and height of the images; infinite where they are unknown.
    """
    owners = work.owners
    width, height = sizes[owners[at]].T
    x, y, w, h = boxes[at].T

    def whole(which: Bools) -> Bools:
        """(N,) from a choice among `at`."""
        mask = np.zeros(len(boxes), np.bool_)
        mask[at[which]] = True
        return mask

    def box(i: int) -> str:
        return "the box [" + ", ".join(f"{value:.10g}" for value in boxes[i]) + "]"

    def size(i: int) -> str:
        return " x ".join(f"{side:.0f}" for side in sizes[owners[i]])

    with np.errstate(invalid="ignore", over="ignore"):
        right, bottom = x + w, y + h
        finite = np.isfinite(boxes[at]).all(axis=1) & np.isfinite(right) & np.isfinite(bottom)
        negative = finite & ((w < 0) | (h < 0))
        outside = (x >= width) | (y >= height) | ((x < 0) & (right <= 0)) | ((y < 0) & (bottom <= 0))
        outside &= finite & ~negative
        good = finite & ~negative & ~outside
        left, top = np.maximum(x, 0), np.maximum(y, 0)
        over = np.stack((-x, -y, right - width, bottom - height))
        clipped = good & (over > EDGE_TOLERANCE).any(axis=0)
        rounded = good & ~clipped & ((x < 0) | (y < 0))
        touched = clipped | rounded
        w = np.where(touched & ((x < 0) | (right > width)), np.minimum(right, width) - left, w)
        h = np.where(touched & ((y < 0) | (bottom > height)), np.minimum(bottom, height) - top, h)
        thin, flat = good & (w < 1), good & (h < 1)
        left = np.where(thin, np.clip(left + w / 2 - 0.5, 0, width - 1), left)
        top = np.where(flat, np.clip(top + h / 2 - 0.5, 0, height - 1), top)

    def overhang(i: int) -> str:
        return f"{over[:, clipped & (owners[at] == owners[i])].max():.3g}"

    by_rounding = f"begins outside the image by rounding, at most {EDGE_TOLERANCE} px; clipped"
    work.report("repair", "box-rounded", whole(rounded), lambda i: f"{box(i)} {by_rounding}")
    work.report(
        "repair",
        "box-clipped",
        whole(clipped),
        lambda i: f"{box(i)} reaches over the edge of the {size(i)} image by up to {overhang(i)} px; clipped",
    )
    grown = "is under a pixel wide or high; grown to one pixel"
    work.report("repair", "box-grown", whole(thin | flat), lambda i: f"{box(i)} {grown}")
    work.batch.boxes = boxes.copy()
    work.batch.boxes[at] = np.stack((left, top, np.maximum(w, 1), np.maximum(h, 1)), axis=1)
    work.drop(
        ("error", "box-not-finite", whole(~finite), lambda i: f"{box(i)} holds a number that is not finite"),
        ("error", "box-negative-size", whole(negative), lambda i: f"{box(i)} has a negative width or height"),
        ("repair", "box-outside", whole(outside), lambda i: f"{box(i)} lies outside the {size(i)} image; dropped"),
    )
