"""What a Hadoop server says, told apart by the class of its exception, not by its words."""

from __future__ import annotations

import re

from pipeline.errors import (
    DeniedError,
    MissingError,
    NoSpaceError,
    QuotaError,
    SafeModeError,
    StandbyError,
    StoreError,
    TakenError,
    UnauthenticatedError,
    UnavailableError,
)

_KINDS: dict[str, tuple[type[StoreError], str]] = {
    "FileNotFoundException": (MissingError, "is not there"),
    "ParentNotDirectoryException": (MissingError, "is not there: a file bears the name of one of its folders"),
    "PathIsNotDirectoryException": (MissingError, "is not there: a file bears the name of one of its folders"),
    "FileAlreadyExistsException": (TakenError, "the name is taken"),
    "PathIsNotEmptyDirectoryException": (TakenError, "the folder is not empty"),
    "AlreadyBeingCreatedException": (TakenError, "somebody else is writing it"),
    "AccessControlException": (DeniedError, "permission denied; use another user, or have the permissions changed"),
    "SafeModeException": (SafeModeError, "the file system is in safe mode; try again when it has left it"),
    "StandbyException": (StandbyError, "the NameNode is a standby; name all NameNodes, or wait for the failover"),
    "DSQuotaExceededException": (QuotaError, "the space quota is reached; remove files, or have it raised"),
    "NSQuotaExceededException": (QuotaError, "the quota of names is reached; remove files, or have it raised"),
    "QuotaByStorageTypeExceededException": (QuotaError, "the space quota is reached; remove files, or have it raised"),
    "QuotaExceededException": (QuotaError, "a quota is reached; remove files, or have it raised"),
    "DiskOutOfSpaceException": (NoSpaceError, "the disks of the file system are full; remove files"),
    "PathComponentTooLongException": (StoreError, "the name is too long for this file system"),
    "InvalidPathException": (StoreError, "the file system takes no such name"),
    "IllegalArgumentException": (StoreError, "the file system takes no such name"),
    "AuthenticationException": (UnauthenticatedError, "no valid ticket; run kinit, or name principal and keytab in [store]"),
    "InvalidToken": (UnauthenticatedError, "the token is not valid any more; get a new one"),
    "SecurityException": (UnauthenticatedError, "not accepted; run kinit, or name principal and keytab in [store]"),
    "AuthorizationException": (DeniedError, "permission denied; use another user, or have the permissions changed"),
    "MaxDirectoryItemsExceededException": (
        QuotaError,
        "the folder is full of names; remove files, or have that raised",
    ),
    "HadoopIllegalArgumentException": (StoreError, "the file system takes no such request"),
    "UnsupportedOperationException": (StoreError, "the file system cannot do that"),
    "RpcNoSuchMethodException": (StoreError, "the file system does not know the request; is it too old?"),
    "RpcNoSuchProtocolException": (StoreError, "what answers there is no NameNode; is the port right?"),
    "SecretManager$InvalidToken": (UnauthenticatedError, "the token is not valid any more; get a new one"),
}
_NAMED = re.compile(r"^([\w.$]+(?:Exception|Error|InvalidToken))\b")


def error_of(path: str, java_class: str | None, message: str, status: int | None = None) -> StoreError:
    """Make the error that stands for an exception of a Hadoop server.

    Args:
        path: The file that it is about.
        java_class: Full name of the exception's class; None if the server has named none.
        message: What the server says. A class at its beginning counts where `java_class` only says that a remote call failed.
        status: HTTP status of the answer; None if it did not come by HTTP.

    Returns:
        The error, not raised. An unknown exception may pass, and is an UnavailableError, unless the HTTP status says that the
        request itself was wrong: then it is a StoreError.
    """
    name = (java_class or "").rsplit(".", 1)[-1]
    if name in ("", "RemoteException", "IOException") and (inner := _NAMED.match(message)):
        name = inner[1].rsplit(".", 1)[-1]  # a server that passes on what another one said
    name = name if name in _KINDS else name.rsplit("$", 1)[-1]
    if name in _KINDS:
        kind, text = _KINDS[name]
        return kind(path, f"{text} ({name})")
    first = message.splitlines()[0][:300] if message else "no reason given"
    if status == 400 or (not name and is_refusal(status)):
        return StoreError(path, f"{name or 'the file system'}: {first} (HTTP {status})")
    return UnavailableError(path, f"{name or 'the file system'}: {first}; try again")


def is_refusal(status: int | None) -> bool:
    """Whether an HTTP status says that the same request will be refused again: 4xx but for those about time and load.

    Args:
        status: The status; None for no answer, which is no refusal.
    """
    return status is not None and 400 <= status < 500 and status not in (408, 409, 423, 425, 429)
