"""The errors of `pipeline`, and the exit codes that the command line gives them.

PipelineError
|-- ConfigError      exit 2  an option, a path or a column is wrong
|-- OutputError      exit 2  the output folder cannot take this run
`-- WorkerLostError  exit 3  a worker died; the run may be tried again

A document that cannot be tagged is no error but a dead letter.
"""


class PipelineError(Exception):
    """Anything that `pipeline` refuses. `exit_code` is the command's."""

    exit_code = 4


class ConfigError(PipelineError):
    """An option, a path or a column is wrong."""

    exit_code = 2


class OutputError(PipelineError):
    """The output folder cannot take this run."""

    exit_code = 2


class WorkerLostError(PipelineError):
    """A worker died; the run may be tried again."""

    exit_code = 3
