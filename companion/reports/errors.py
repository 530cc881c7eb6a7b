"""The one error that a report raises on purpose."""


class ReportError(ValueError):
    """A report that cannot be made. Its text is one sentence that says what to mend."""
