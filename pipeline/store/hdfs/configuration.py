"""What a Hadoop configuration says of a file system: where its NameNodes answer."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

from pipeline.errors import ConfigError
from pipeline.store.settings import StoreConfig

HTTP_PORT, HTTPS_PORT = 9870, 9871


def folder_of(config: StoreConfig) -> str | None:
    """Find the folder of the Hadoop configuration.

    Args:
        config: Its `hadoop_conf` takes precedence over the variables HADOOP_CONF_DIR and HADOOP_HOME, in this order.

    Returns:
        The folder; None if none is named.
    """
    home = os.environ.get("HADOOP_HOME")
    return config.hadoop_conf or os.environ.get("HADOOP_CONF_DIR") or (f"{home}/etc/hadoop" if home else None)


def read_conf(config: StoreConfig) -> dict[str, str]:
    """Read the properties of core-site.xml and hdfs-site.xml.

    Args:
        config: Names the folder, see `folder_of`.

    Returns:
        Values by name of the property, of which hdfs-site.xml overrides core-site.xml; empty without a folder or files.

    Raises:
        ConfigError: A file cannot be read or is not XML, or `hadoop_conf` names a folder without properties.
    """
    folder = folder_of(config)
    found: dict[str, str] = {}
    for name in ("core-site.xml", "hdfs-site.xml") if folder else ():
        path = Path(folder or "") / name
        try:
            root = ElementTree.parse(path).getroot()
        except FileNotFoundError:
            continue
        except (ElementTree.ParseError, OSError) as error:
            raise ConfigError(f"{path}: no Hadoop configuration ({error})") from error
        for one in root.iter("property"):
            key, value = one.findtext("name"), one.findtext("value")
            if key and value is not None:
                found[key.strip()] = value.strip()
    if config.hadoop_conf and not found:
        raise ConfigError(f"hadoop_conf {config.hadoop_conf}: no core-site.xml or hdfs-site.xml with properties there")
    return found


def web_addresses(authority: str, config: StoreConfig) -> list[str]:
    """Find the HTTP addresses of all NameNodes behind an hdfs:// authority.

    Args:
        authority: `HOST`, `HOST:PORT` or a nameservice of the Hadoop configuration.
        config: Its `namenodes` take precedence over the Hadoop configuration.

    Returns:
        The addresses as `http(s)://HOST:PORT`; where none is configured, the authority's host with Hadoop's default port.

    Raises:
        ConfigError: The Hadoop configuration cannot be read.
    """
    if config.namenodes:
        return list(config.namenodes)
    conf = read_conf(config)
    secure = conf.get("dfs.http.policy", "HTTP_ONLY") == "HTTPS_ONLY"
    scheme, port, key = ("https", HTTPS_PORT, "https-address") if secure else ("http", HTTP_PORT, "http-address")
    if nodes := conf.get(f"dfs.ha.namenodes.{authority}"):
        named = [conf.get(f"dfs.namenode.{key}.{authority}.{node.strip()}") for node in nodes.split(",")]
        return [f"{scheme}://{one}" for one in named if one]
    host = authority.partition(":")[0]
    told = conf.get(f"dfs.namenode.{key}", "")
    if told and conf.get("fs.defaultFS", "").rstrip("/") == f"hdfs://{authority}":
        return [f"{scheme}://{host if told.startswith('0.0.0.0') else told.partition(':')[0]}:{told.rpartition(':')[2]}"]
    return [f"{scheme}://{host}:{port}"]
