"""A store by the name that a user gives it."""

from __future__ import annotations

import os
import posixpath
import re
from importlib.util import find_spec
from pathlib import Path

from models.extras import install
from pipeline.errors import ConfigError
from pipeline.store.base import Store
from pipeline.store.hdfs.configuration import web_addresses
from pipeline.store.local import LocalStore
from pipeline.store.retrying_client import Client
from pipeline.store.settings import StoreConfig

_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*)://([^/]*)", re.IGNORECASE)
HDFS, WEB = "hdfs", {"webhdfs": "http", "swebhdfs": "https"}


def split_url(url: str) -> tuple[str, str, str]:
    """Split a path or URL into scheme, authority and path.

    Args:
        url: Path of this machine, `file://` URL, or URL of a remote store.

    Returns:
        Scheme in lower case, authority, and absolute path without doubled slashes or a slash at its end ("" for the root of a
        remote store). Scheme and authority are "" on this machine, where symbolic links in the path are resolved.

    Raises:
        ConfigError: The path of a remote URL contains `..`.
    """
    found = _SCHEME.match(url)
    if found is None or found[1].lower() == "file":
        path = url if found is None else url[len("file://") + len(found[2]) :]
        return "", "", os.path.realpath(path)
    path = url[found.end() :]
    if ".." in path.split("/"):
        raise ConfigError(f"{url}: write the path without ..")
    path = posixpath.normpath(f"/{path}").replace("//", "/")
    return found[1].lower(), found[2], "" if path == "/" else path


def join_url(scheme: str, authority: str, path: str) -> str:
    """Undo `split_url`, in the one form in which plans name their input.

    Args:
        scheme: "" for this machine.
        authority: Host, hosts or bucket; not used on this machine.
        path: Absolute path, or "" for the root.

    Returns:
        The URL; on this machine the path.
    """
    return f"{scheme}://{authority}{path}" if scheme else path or "/"


def is_local(url: str) -> bool:
    """Whether a path or URL names files of this machine.

    Args:
        url: As for `split_url`.

    Raises:
        ConfigError: The path of a remote URL contains `..`.
    """
    return not split_url(url)[0]


def open_store(url: str, config: StoreConfig | None = None) -> Store:
    """Open the store below a path of this machine or a URL of HDFS, S3 or whatever else fsspec serves.

    HDFS has the schemes hdfs://, webhdfs:// and swebhdfs:// (by HTTPS).

    Args:
        url: Path or URL of the root; it need not exist.
        config: How remote stores are reached; the defaults if not given.

    Returns:
        The store. Remote ones are not asked for anything yet.

    Raises:
        ConfigError: Nothing serves the scheme, a package is missing, an HDFS URL names no NameNode, or the path contains `..`.
    """
    config = config or StoreConfig()
    scheme, authority, path = split_url(url)
    url = join_url(scheme, authority, path)
    if not scheme:
        return LocalStore(Path(path), config.lease_s)
    if scheme == HDFS or scheme in WEB:
        return _hdfs(url, scheme, authority, path, config)
    from pipeline.store.objects import ObjectStore

    try:
        from fsspec import available_protocols, get_filesystem_class
    except ModuleNotFoundError as error:
        raise ConfigError(f"{url}: needs fsspec: {install('s3')}") from error
    if scheme not in available_protocols():
        raise ConfigError(f"{url}: no store for {scheme}://")
    try:
        root = str(get_filesystem_class(scheme)._strip_protocol(url))
    except ImportError as error:
        raise ConfigError(f"{url}: {error}") from error
    return ObjectStore(url, scheme, root, config)


def _hdfs(url: str, scheme: str, authority: str, path: str, config: StoreConfig) -> Store:
    from pipeline.store.hdfs.store import HdfsStore

    if not authority:
        raise ConfigError(f"{url}: name the NameNode: {scheme}://HOST:PORT/path")

    def native() -> Client:
        from pipeline.store.hdfs.native import NativeClient

        return NativeClient(f"hdfs://{authority}", config)

    def web() -> Client:
        from pipeline.store.hdfs.web import WebClient

        if scheme in WEB:
            nodes = list(config.namenodes) or [f"{WEB[scheme]}://{one}" for one in re.split("[;,]", authority)]
        else:
            nodes = web_addresses(authority, config)
        return WebClient(nodes, config)

    # What is not installed is said now, not at the first read.
    wanted = ["hdfs"] if scheme in WEB or config.client == "webhdfs" else ["hdfs_native"]
    if missing := [name for name in wanted if find_spec(name) is None]:
        raise ConfigError(f"{url}: needs the package {missing[0]}: {install('hdfs')}")
    if scheme in WEB or config.client == "webhdfs":
        makers = [web]
    elif config.client == "native" or find_spec("hdfs") is None:
        makers = [native]
    else:
        makers = [native, web]
    return HdfsStore(url, path, makers, config, web_last=makers[-1] is web)
