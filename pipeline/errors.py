"""The errors of `pipeline`, and the exit codes that the command line gives them; what to do about each is in `pipeline.exits`.

PipelineError                exit 4  (not to be tried again)
|-- ConfigError              exit 2  an option, a path or a column is wrong
|-- OutputError              exit 2  the output folder cannot take this run
|-- ClaimedError             exit 3  another run works on the same output
|   `-- LostClaimError               a claim has expired, or somebody else has taken it over
|-- StoppedError             exit 3  a signal has asked the job to stop
|-- JobLostError             exit 3  a submitted job has ended, or is gone, without a manifest that says how
|-- JobFailedError           exit 4  a submitted job's manifest says that it has failed
|-- NoReportError            exit 4  the report of a night could not be made
|-- NoIndexError             exit 4  the index of passages could not be brought up to date
|-- WorkerLostError          exit 3  a worker died; the run may be tried again
|   `-- NoWorkersError               no worker has been alive for too long
|-- InputError               exit 4  something is wrong with a file of the input
|   |-- InputChangedError            a planned file is not what it was
|   |   `-- InputGoneError           a planned file is no longer there
|   `-- UnreadableInputError         a file could not be read, or not to its end
|-- TooManyDeadLettersError  exit 4  the input is obviously not what the run was told
|-- TaggerBrokenError        exit 4  the model fails on any text
|-- LostDocumentsError       exit 4  documents were read that are in no file: a bug
|-- ReportError              exit 4  a report cannot be made, or its own numbers do not agree
|-- AudioError               exit 4  a recording is empty, damaged, or none
|   `-- AudioLimitError              it is bigger or longer than allowed
`-- StoreError               exit 4  a file could not be read or written
    |-- MissingError                 there is no such file
    |-- TakenError                   the name is taken
    |-- FolderError                  a folder bears the name of a file
    |-- DeniedError                  permission denied
    |-- NoSpaceError         exit 3  the disk is full
    |   `-- QuotaError       exit 4  a quota of space or of names is reached
    `-- UnavailableError     exit 3  anything that may pass
        |-- SafeModeError            the file system takes no changes for now
        |-- StandbyError             no server of the file system is the active one
        |-- DeadlineError            no answer in time
        `-- UnauthenticatedError     a ticket or token is missing, or has expired

A document that cannot be tagged is no error but a dead letter.

Cancelled is no error either, and derives from BaseException as asyncio.CancelledError does: work that is not wanted any more
ends, through every handler of errors on its way.
"""

from __future__ import annotations

import errno

# What the operating system says of a disk, a mounted share or a connection that may be well again later; ENOMEM, EMFILE and the
# like pass when other processes end.
TRANSIENT = frozenset(
    {
        errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED, errno.ENOTCONN,
        errno.ESHUTDOWN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EPIPE,
        errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ENOMEM, errno.ENOBUFS, errno.EMFILE, errno.ENFILE, errno.ENOLCK,
        errno.EREMOTEIO, errno.ENOLINK, errno.ECOMM, errno.EPROTO, errno.ENXIO, errno.ENODEV,
    }
)  # fmt: skip
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Cancelled(BaseException):
    """Cancels work that is no longer wanted.

    Control flow rather than an error, caught only by whoever asked for it. `__cause__` is the error to be reported, if there is
    one.
    """


class PipelineError(Exception):
    """Base of all errors of `pipeline`.

    Attributes:
        exit_code: Exit code of a command that ends with this error.
    """

    exit_code = 4


class ConfigError(PipelineError):
    """An option, a path or a column in the settings is wrong."""

    exit_code = 2


class OutputError(PipelineError):
    """The output folder cannot take this run."""

    exit_code = 2


class ClaimedError(PipelineError):
    """Another run works on the same output."""

    exit_code = 3


class LostClaimError(ClaimedError):
    """This run's claim on the output has expired, or another run has taken it over."""


class StoppedError(PipelineError):
    """A signal has asked the job to stop."""

    exit_code = 3


class JobLostError(PipelineError):
    """A submitted job has ended, or is gone, without a manifest that says how."""

    exit_code = 3


class _OfItsCauseError(Exception):
    """Makes the exit code of an error that of its cause; no error by itself."""

    def __init__(self, message: str, exit_code: int = 4) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class JobFailedError(_OfItsCauseError, PipelineError):
    """A submitted job's manifest says that it has failed.

    Args:
        message: What the user reads.
        exit_code: The exit code in the manifest.
    """


class NoReportError(_OfItsCauseError, PipelineError):
    """The report of a night could not be made.

    Args:
        message: What the user reads.
        exit_code: The exit code of its cause, if that has one.
    """


class NoIndexError(_OfItsCauseError, PipelineError):
    """The index of passages could not be brought up to date; what was tagged is complete.

    Args:
        message: What the user reads.
        exit_code: The exit code of its cause, if that has one.
    """


class WorkerLostError(PipelineError):
    """A worker died; the run may be tried again."""

    exit_code = 3


class NoWorkersError(WorkerLostError):
    """No worker has been alive for longer than `no_workers_s`."""


class InputError(PipelineError):
    """Something is wrong with one file of the input.

    Args:
        path: Path of the file below the input's root.
        message: What is wrong.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path, self.message = path, message

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str]]:
        return type(self), (self.path, self.message)


class InputChangedError(InputError):
    """A file has changed since it was planned."""


class InputGoneError(InputChangedError):
    """A file that was planned no longer exists."""


class UnreadableInputError(InputError):
    """A file of the input could not be read, or not to its end; it is tagged again once it can be."""


class TooManyDeadLettersError(PipelineError):
    """There are more dead letters than the run's settings allow."""


class TaggerBrokenError(PipelineError):
    """The model fails on a text that it must be able to read: a bug, not bad input."""


class LostDocumentsError(PipelineError):
    """The documents read are not those accounted for in the output: a bug; nothing that is in doubt is published."""


class ReportError(PipelineError):
    """A report cannot be made in the memory it has, or its page and its tables do not agree: a bug, and nothing is published."""


class AudioError(PipelineError):
    """A recording is empty, damaged, or none that can be read."""


class AudioLimitError(AudioError):
    """A recording is bigger or longer than allowed, or takes too long to decode."""


class StoreError(PipelineError):
    """A file could not be read or written.

    Args:
        path: Path of the file below the store's root.
        message: What is wrong.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path, self.message = path, message

    def __reduce__(self) -> tuple[type[StoreError], tuple[str, str]]:
        return type(self), (self.path, self.message)


class MissingError(StoreError):
    """There is no such file."""


class TakenError(StoreError):
    """A file of that name exists already."""


class FolderError(StoreError):
    """There is a folder where a file was expected."""


class DeniedError(StoreError):
    """The file system denied permission."""


class NoSpaceError(StoreError):
    """The disk is full."""

    exit_code = 3


class QuotaError(NoSpaceError):
    """A quota of space or of names is reached, which lasts until somebody removes files or raises the quota."""

    exit_code = 4


class UnavailableError(StoreError):
    """A failure that may pass by itself, such as an unreachable share or an I/O error."""

    exit_code = 3


class SafeModeError(UnavailableError):
    """The file system is in safe mode and accepts no changes for now."""


class StandbyError(UnavailableError):
    """None of the file system's servers (NameNodes) is active at the moment."""


class DeadlineError(UnavailableError):
    """The file system did not answer in time."""


class UnauthenticatedError(UnavailableError):
    """A Kerberos ticket or a token is missing or has expired."""
