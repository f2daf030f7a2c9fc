"""The errors that labelferry raises on purpose: everything else is a defect."""

import re
from collections.abc import Iterable


class LabelferryError(Exception):
    """Base of all of labelferry's own errors."""


class ExportError(LabelferryError):
    """The export cannot be read: what is wrong, where, and what to do.

    Raised while the labels of one image are read, it is that image's error, and the run continues to find the others;
    raised elsewhere, it ends the run.

    Attributes:
        message: what was found, what was expected, and what to do.
        where: file and line, or file and annotation id.
        code: names the error, as `broken-line`.
        lost: objects of the image that are missing from the result because of it, as far as they were counted.
    """

    def __init__(self, message: str, *, where: str = "", code: str = "unreadable", lost: int = 0) -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.message = message
        self.where = where
        self.code = code
        self.lost = lost


class AmbiguousError(ExportError):
    """The export can be read in two ways, and the message names the option that decides.

    It ends the run wherever it is raised: it is never skipped, as every image may be wrong.
    """

    def __init__(self, message: str, *, where: str = "") -> None:
        super().__init__(message, where=where, code="ambiguous")


class UsageError(LabelferryError):
    """The command or the call is wrong: an unknown class, a task type that the export does not hold."""


def refuse_url(what: str, path: object) -> None:
    """Refuse a URL where a local path is needed, before a folder called `s3:` is made.

    Args:
        what: names the argument, for the message.
        path: as given, or as pathlib has made it: with one slash.

    Raises:
        UsageError: it is a URL.
    """
    if match := re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/", str(path)):
        name = f"{what}: " if what else ""
        raise UsageError(f"{name}{path} is a URL ({match[1]}), only local paths are supported: copy or mount it")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: a question that suggests the most similar known one, if any is."""
    import difflib

    near = difflib.get_close_matches(name, list(known), 1, 0.4)
    return f". Did you mean {near[0]!r}?" if near else ""
