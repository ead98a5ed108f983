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
    "SecretManager$InvalidToken": (UnauthenticatedError, "the token is not valid any more; get a new one"),
}
_NAMED = re.compile(r"^([\w.$]+(?:Exception|Error|InvalidToken))\b")


def error_of(path: str, java_class: str | None, message: str) -> StoreError:
    """The error for an exception of a server; UnavailableError for those that are not known."""
    name = (java_class or "").rsplit(".", 1)[-1]
    if name in ("", "RemoteException", "IOException") and (inner := _NAMED.match(message)):
        name = inner[1].rsplit(".", 1)[-1]  # a server that passes on what another one said
    name = name if name in _KINDS else name.rsplit("$", 1)[-1]
    if name in _KINDS:
        kind, text = _KINDS[name]
        return kind(path, f"{text} ({name})")
    first = message.splitlines()[0][:300] if message else "no reason given"
    return UnavailableError(path, f"{name or 'the file system'}: {first}; try again")
