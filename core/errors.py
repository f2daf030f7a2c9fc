"""The errors that labelferry raises on purpose: everything else is a defect."""


class LabelferryError(Exception):
    """Base of all of labelferry's own errors."""


class ExportError(LabelferryError):
    """The export is at fault: what cannot be read, where it stands, and what to do.

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


class UsageError(LabelferryError):
    """The command or the call is at fault: an unknown class, a task that the export does not hold."""
