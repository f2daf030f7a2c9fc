"""From a batch to prediction files: check, encode, write, and count what becomes of every object."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from labelferry.columns import Batch
from labelferry.errors import LabelferryError
from labelferry.findings import Finding
from labelferry.lightly import storage
from labelferry.lightly.conform import Target, Unaccounted, conform
from labelferry.lightly.encode import encode
from labelferry.lightly.names import prediction_path
from labelferry.report import Collision, Tally
from labelferry.run_lengths import Int64

FATAL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO))
"""System errors after which no other file can be written either."""


class Prepared(NamedTuple):
    """A batch that is checked and encoded, and not written yet.

    Attributes:
        batch: as `conform` gives it.
        files: the prediction file of each image; None of one that gets no file.
        findings: what was met when the batch was read and checked.
        found: objects that the export lists.
        interpolated: objects that reading adds to those.
    """

    batch: Batch
    files: list[bytes | None]
    findings: list[Finding]
    found: int
    interpolated: int


def prepare(batch: Batch, target: Target) -> Prepared:
    """Check and encode a batch.

    Raises:
        Unaccounted: objects of the export are neither in the batch nor among its findings.
    """
    found = check_accounts(batch)
    done, findings = conform(batch, target)
    findings = [*batch.findings, *findings]
    if done.refused.any():
        findings = _with_lost_images(done, findings)
    return Prepared(done, encode(done), findings, int(found.sum()), int(batch.interpolated.sum()))


def _with_lost_images(batch: Batch, findings: list[Finding]) -> list[Finding]:
    """The findings, one of which says of each refused image that it has no file: its first error, if it has one.

    Raises:
        Unaccounted: an image is refused without a finding.
    """
    why: dict[int, int] = {}
    for place, finding in enumerate(findings):
        if finding.image >= 0 and (finding.image not in why or findings[why[finding.image]].kind != "error"):
            why[finding.image] = place
    findings = [replace(finding, lost_images=0) if finding.image >= 0 else finding for finding in findings]
    for b in np.flatnonzero(batch.refused).tolist():
        if b not in why:
            raise Unaccounted(f"{batch.names[b]}: the image has no file, and no finding says why")
        findings[why[b]] = replace(findings[why[b]], lost_images=1)
    return findings


def write(prepared: Prepared, folder: str) -> tuple[Tally, list[Finding]]:
    """Write the files of a batch, and count.

    Args:
        prepared: the batch.
        folder: of the task.

    Returns:
        The counts, without findings; and all findings, in the order of the images.

    Raises:
        LabelferryError: no file can be written, as the disk is full.
    """
    batch, tally, findings = prepared.batch, Tally(), list(prepared.findings)
    counts = batch.counts.tolist()
    unwritten = []
    for b, (name, data) in enumerate(zip(batch.names, prepared.files, strict=True)):
        if data is None:
            continue
        path = prediction_path(name)
        try:
            storage.write_new(f"{folder}/{path}", data)
        except FileExistsError:
            unwritten.append(b)
            tally.collisions.append(Collision(path, name, counts[b]))
        except OSError as error:
            if error.errno in FATAL:
                raise LabelferryError(f"cannot write to the datasource: {error}") from None
            unwritten.append(b)
            findings.append(Finding("error", "unreadable", name, str(error), 1, counts[b], b, lost_images=1))
        else:
            tally.images += 1
            tally.empty_images += not counts[b]
            tally.files.append((path, len(data)))
    written = batch.category_ids[~np.isin(batch.owners, unwritten)] if unwritten else batch.category_ids
    tally.objects = dict(Counter(written.tolist()))
    tally.found, tally.interpolated, tally.merged = prepared.found, prepared.interpolated, batch.merged
    tally.found_images, tally.evidence = len(batch.names), batch.evidence
    return tally, in_order(findings)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Findings in the order of their images; those of one image in the given order."""
    return sorted(findings, key=lambda finding: finding.image)


def check_accounts(batch: Batch) -> Int64:
    """(B,) objects that the export lists for each image; what the adapter gives and reports where it does not count.

    Raises:
        Unaccounted: the numbers contradict each other.
    """
    accounted = batch.counts - batch.interpolated
    lost = np.zeros(len(batch.names), np.int64)
    for finding in batch.findings:
        if finding.image >= 0:
            lost[finding.image] += finding.lost
    accounted += lost
    found = np.where(batch.found < 0, accounted, batch.found)
    if (found != accounted).any():
        b = int(np.flatnonzero(found != accounted)[0])
        raise Unaccounted(
            f"{batch.names[b]}: the export lists {found[b]} objects and {batch.interpolated[b]} are interpolated; "
            f"{batch.counts[b]} were read and {lost[b]} reported as lost"
        )
    return found
