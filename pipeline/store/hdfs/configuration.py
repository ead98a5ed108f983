"""What a Hadoop configuration says of a file system: where its NameNodes answer."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

from pipeline.errors import ConfigError
from pipeline.store.settings import StoreConfig

HTTP_PORT, HTTPS_PORT = 9870, 9871


def folder_of(config: StoreConfig) -> str | None:
    """The folder of the configuration files, if one is named."""
    home = os.environ.get("HADOOP_HOME")
    return config.hadoop_conf or os.environ.get("HADOOP_CONF_DIR") or (f"{home}/etc/hadoop" if home else None)


def read_conf(config: StoreConfig) -> dict[str, str]:
    """The properties of core-site.xml and hdfs-site.xml. Raises ConfigError for a file that cannot be read as such."""
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
    """http(s)://HOST:PORT of all NameNodes of an hdfs:// authority (host, host:port or nameservice)."""
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
