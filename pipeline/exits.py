"""Every error and what it means to whoever started the command: an exit code, and what to do. One table, see `exit_of`."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from models.errors import GateFailedError, ModelError
from pipeline import errors
from pipeline.errors import FULL, TRANSIENT, PipelineError
from textmill_names import NameTakenError

DONE, BUG, SETTINGS, TRY_AGAIN, DO_NOT_TRY_AGAIN, STOPPED = 0, 1, 2, 3, 4, 130


@dataclass(frozen=True, slots=True)
class Exit:
    """What an error means to whoever ran the command.

    Attributes:
        code: Exit code of the command.
        remedy: What to do about it, worded to follow the error's own message.
    """

    code: int
    remedy: str


# Of errors of our own tree, by class; of one that is not named its nearest base counts. Codes stand beside the classes.
REMEDIES: dict[type[PipelineError], str] = {
    PipelineError: "read the message; the same command would fail again",
    errors.ConfigError: "correct the option, path or column that the message names",
    errors.OutputError: "name another output folder",
    errors.ClaimedError: "wait until the other run has ended, then run the command again",
    errors.LostClaimError: "run the command again; it goes on where the other run stopped",
    errors.StoppedError: "run the command again; it goes on where it was stopped",
    errors.JobLostError: "look at the cluster, then submit again",
    errors.JobFailedError: "read the job's manifest",
    errors.NoReportError: "read the message, then run `textmill report` for that day",
    errors.NoIndexError: "read the message, then run `textmill index`",
    errors.WorkerLostError: "run the command again; it goes on where it was",
    errors.NoWorkersError: "start the cluster's nodes, or give fewer --workers; then run the command again",
    errors.InputError: "correct or replace the file that the message names",
    errors.InputChangedError: "give --retag-files for the file, or put it back as it was",
    errors.InputGoneError: "put the file back; the next run tags it",
    errors.UnreadableInputError: "mend or replace the file and run the command again, or allow it with --failed-files-share",
    errors.TooManyDeadLettersError: "look into dead_letters/, correct the settings, or allow more",
    errors.TaggerBrokenError: "run `textmill doctor`; this is a fault of the model or its engine, not of the documents",
    errors.LostDocumentsError: "report this bug; nothing that is in doubt was published",
    errors.ReportError: "give --memory-mb more; where numbers do not agree, report this bug",
    errors.AudioError: "record the question again, as wav, ogg, webm, mp3 or m4a",
    errors.AudioLimitError: "record the question again, in fewer words",
    errors.StoreError: "correct the path, or have the file system's settings corrected",
    errors.MissingError: "put the file back, or name another path",
    errors.TakenError: "name another path, or remove what is there",
    errors.FolderError: "name a file, or another path",
    errors.DeniedError: "use another user, or have the permissions changed",
    errors.NoSpaceError: "free space, then run the command again",
    errors.QuotaError: "remove files, or have the quota raised",
    errors.UnavailableError: "run the command again when the file system answers",
    errors.SafeModeError: "run the command again when the file system has left safe mode",
    errors.StandbyError: "run the command again when a NameNode is active",
    errors.DeadlineError: "run the command again when the file system answers; store.timeout_s allows more time",
    errors.UnauthenticatedError: "get a new ticket or token, then run the command again",
}

# What others raise; of several that fit the first counts.
OTHERS: dict[type[BaseException], Exit] = {
    GateFailedError: Exit(BUG, "train on, or change the gate in the recipe"),
    ModelError: Exit(SETTINGS, "name another model; `textmill models` lists those that are installed"),
    NameTakenError: Exit(SETTINGS, "rename the folder that the message names, or take it off Python's path"),
    ModuleNotFoundError: Exit(SETTINGS, "install the extra that the message names"),
    MemoryError: Exit(TRY_AGAIN, "free memory, or give fewer --workers; then run the command again"),
    KeyboardInterrupt: Exit(STOPPED, "run the command again; it goes on where it was stopped"),
}

# Ray's own errors, by the names of their classes: what Ray says of machines may be otherwise the next time.
RAY = {
    "RuntimeEnvSetupError": Exit(SETTINGS, "correct the runtime environment of the job, or install textmill on every node"),
    "RayError": Exit(TRY_AGAIN, "look at the cluster with `ray status`, then run the command again"),
    "RpcError": Exit(TRY_AGAIN, "the cluster's head does not answer; look at it, then run the command again"),
}


def exit_of(error: BaseException) -> Exit:
    """Return the exit code and the remedy for any error.

    An error that a Ray task raised counts as the one that it was on the other machine, and `Cancelled` as its cause.

    Args:
        error: Whatever has ended the command; an error that is not known counts as a bug.
    """
    cause = getattr(error, "cause", None)
    if isinstance(cause, BaseException) and "RayTaskError" in _names(error):
        return exit_of(cause)
    if isinstance(error, errors.Cancelled):
        return Exit(TRY_AGAIN, REMEDIES[errors.StoppedError]) if error.__cause__ is None else exit_of(error.__cause__)
    if isinstance(error, PipelineError):
        kind = next(kind for kind in type(error).__mro__ if kind in REMEDIES)
        return Exit(error.exit_code, REMEDIES[kind])
    if (found := next((found for other, found in OTHERS.items() if isinstance(error, other)), None)) is not None:
        return found
    if (name := next((name for name in _names(error) if name in RAY), None)) is not None:
        return RAY[name]
    if isinstance(error, OSError):
        return _system(error.errno)
    return Exit(BUG, "this is a bug; report it with the traceback")


def _system(number: int | None) -> Exit:
    if number in FULL:
        return Exit(TRY_AGAIN, REMEDIES[errors.NoSpaceError])
    if number in TRANSIENT:
        return Exit(TRY_AGAIN, REMEDIES[errors.UnavailableError])
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Exit(DO_NOT_TRY_AGAIN, REMEDIES[errors.DeniedError])
    return Exit(DO_NOT_TRY_AGAIN, REMEDIES[PipelineError])


def _names(error: BaseException) -> list[str]:
    return [kind.__name__ for kind in type(error).__mro__]
