"""Users' errors: each message says what was expected, what was found and what to do."""


class RespoError(ValueError):
    """Something the user can put right; shown without a traceback."""


class ModuleFileError(RespoError):
    """A file that is not the module file it should be."""


class ArchitectureMismatch(RespoError):
    """A module meets a model of another architecture."""


class UnknownConcept(RespoError):
    """A concept that the attribute does not have."""


class RespoWarning(UserWarning):
    """Something the user should know; the work goes on."""
