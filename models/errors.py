"""The errors of `models`.

ModelError
|-- ModelMissingError     no such model, or a file of it is absent
|-- ModelDamagedError     a file does not fit its digest, its shapes or the label sets of this version
|-- EngineMissingError    the engine asked for is not installed, or not usable on this machine
|-- BadOutputError        an engine gave scores that are not numbers
`-- FactoryError
    |-- DataMissingError  a corpus or a pretrained encoder is not there
    |-- RecipeError       the recipe is not valid
    |-- LabelledDataError a user's labelled documents cannot be learned from
    `-- GateFailedError   a step reached less than its gate asks
"""


class ModelError(Exception):
    """Anything that `models` refuses."""


class ModelMissingError(ModelError):
    """No such model, or a file of it is absent."""


class ModelDamagedError(ModelError):
    """A file does not fit its digest, its shapes or the label sets of this version."""


class EngineMissingError(ModelError):
    """The engine asked for is not installed, or not usable on this machine."""


class BadOutputError(ModelError):
    """An engine gave scores that are not numbers."""


class FactoryError(ModelError):
    """Anything that the factory refuses."""


class DataMissingError(FactoryError):
    """A corpus or a pretrained encoder is not there."""


class RecipeError(FactoryError):
    """The recipe is not valid."""


class LabelledDataError(FactoryError):
    """A user's labelled documents cannot be learned from; the message names file and line."""


class GateFailedError(FactoryError):
    """A step reached less than its gate asks."""
