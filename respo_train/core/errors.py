"""Errors for users. Each message says what was expected, what was found and what to do."""


class RespoError(ValueError):
    """An error that the user can fix; it is shown without a traceback."""


class ModuleFileError(RespoError):
    """The file is missing, damaged, or not a module file."""


class ArchitectureMismatch(RespoError):
    """The module was made for another architecture than the model's."""


class UnknownConcept(RespoError):
    """The attribute has no concept of this name."""


class RespoWarning(UserWarning):
    """Something the user should know, but that does not stop the work."""
