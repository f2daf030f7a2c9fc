"""Which silent changes are right, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conformance.mutations import Judged

VALUE_SCOPES = ("prediction", "moved", "file name", "class name")
"""What another valid value may change."""


def is_allowed(judged: Judged) -> str | None:
    """`expected`: another valid value changed this value and nothing else; `exception`: a listed one; None: wrong."""
    if judged.mutation in ("step", "other") and judged.scope in VALUE_SCOPES:
        return "expected"
    return None
