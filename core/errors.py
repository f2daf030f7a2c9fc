"""The errors that labelferry raises on purpose: everything else is a defect."""

from collections.abc import Iterable


class LabelferryError(Exception):
    """Base of all of labelferry's own errors."""


class ExportError(LabelferryError):
    """The export cannot be read: what is wrong, where, and what to do.

    Raised from `get_categories`, `get_images` or `get_tasks` it ends the run; raised from `get_labels` it counts as
    this image's error and the run goes on to find the others.
    """

    def __init__(self, message: str, *, where: str = "", code: str = "unreadable") -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.message = message
        self.where = where
        self.code = code


class UsageError(LabelferryError):
    """The command or the call is wrong: an unknown class, a task type that the export does not hold."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: a question that suggests the most similar known one, if any is."""
    import difflib

    near = difflib.get_close_matches(name, list(known), 1, 0.4)
    return f". Did you mean {near[0]!r}?" if near else ""
