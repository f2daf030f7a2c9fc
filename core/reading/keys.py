"""Keys, elements and columns that a format's reader does not know: noted, and suspected of being misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache

from labelferry.findings import Finding

_UNREAD = "unread:"
_NEAR_MISS = "near-miss:"

_SIMILARITY = 0.75
"""Of two names, as difflib measures it, from which one is taken for a misspelling of the other."""


@lru_cache(4096)
def key_evidence(key: str, known: Collection[str], ignored: Collection[str] = ()) -> str:
    """The name of the evidence (`Batch.evidence`) of a key that is not read.

    Args:
        key: as the export has it.
        known: the keys that are read; hashable.
        ignored: keys of the format that are not read on purpose, and so no misspelling; hashable.
    """
    if key not in ignored:
        near = difflib.get_close_matches(key.lower(), [name for name in known if name != key], 1, _SIMILARITY)
        if near:
            return f"{_NEAR_MISS}{key}={near[0]}"
    return f"{_UNREAD}{key}"


def judge_keys(evidence: Mapping[str, int], where: str) -> Iterator[Finding]:
    """A finding for each key that is not read, from all the evidence of an export.

    Args:
        evidence: counted under the names that `key_evidence` gives; other evidence is passed over.
        where: the file that has the keys.
    """
    for name, count in sorted(evidence.items()):
        times = f" ({count:,} times)" if count > 1 else ""
        if name.startswith(_UNREAD):
            yield Finding.note("unread-key", where, f"{name.removeprefix(_UNREAD)!r} is not read{times}")
        elif name.startswith(_NEAR_MISS):
            key, _, near = name.removeprefix(_NEAR_MISS).rpartition("=")
            yield Finding.warning("unknown-key", where, f"{key!r} is not read{times}; did you mean {near!r}?")


def unread_keys(
    given: Iterable[str], known: Collection[str], ignored: Collection[str] = (), where: str = ""
) -> list[Finding]:
    """Findings of the keys of one mapping that are not read: notes, and warnings of what may be misspelt.

    Args:
        given: the keys that the export has.
        known: the keys that are read; one that is given is not what another one was meant to be.
        ignored: keys of the format that are not read on purpose.
        where: the file that has them.
    """
    keys = set(given)
    missing = tuple(name for name in known if name not in keys)
    unknown = sorted(keys.difference(known))
    return list(judge_keys({key_evidence(key, missing, tuple(ignored)): 1 for key in unknown}, where))
