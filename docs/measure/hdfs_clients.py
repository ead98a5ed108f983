"""MB/s of both HDFS clients and of the store above them: HADOOP_USER_NAME=USER python docs/measure/hdfs_clients.py
hdfs://HOST:PORT http://HOST:PORT [ROUNDS [FILES]]. FILES (2000) are made to be listed. Rounds alternate; medians are printed as
JSON. It works in /textmill-measure.
"""

from __future__ import annotations

import io
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pipeline.store.hdfs.native import NativeClient
from pipeline.store.hdfs.web import WebClient
from pipeline.store.open import open_store
from pipeline.store.retrying_client import Client
from pipeline.store.settings import StoreConfig

ROOT, BIG, MB = "/textmill-measure", 64 << 20, 1 << 20
FOLDERS, SMALL = 10, 30


def ranged(client: Client, threads: int, length: int, size: int = BIG) -> None:
    """Read in ranges, each thread a connection after the other."""
    read = client.reader(f"{ROOT}/big")
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda start: len(read(start, min(length, size - start))), range(0, size, length)))


def streamed(url: str, config: StoreConfig) -> None:
    """Read as a run does: one stream, ranges ahead of it."""
    with open_store(f"{url}{ROOT}", config).open_read("big", (0, BIG)) as stream:
        while stream.read(MB):
            pass


class Clock:
    def __init__(self) -> None:
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)

    def __call__(self, name: str, call: Callable[..., object], *given: object) -> None:
        began = time.perf_counter()
        call(*given)
        self.seconds[name].append(time.perf_counter() - began)


def create(client: Client, path: str, data: bytes) -> None:
    client.create(f"{ROOT}/{path}", io.BytesIO(data), True)


def listed(client: Client) -> None:
    for i in range(FOLDERS):
        client.children(f"{ROOT}/many/{i}")


def measure(name: str, client: Client, clock: Clock, url: str, config: StoreConfig, data: bytes, files: int) -> None:
    """Everything once with one client."""
    clock(f"{name} write", create, client, "new", data)
    clock(f"{name} read, 1 request", ranged, client, 1, BIG)
    for threads in (1, 4, 8):
        clock(f"{name} read, {threads} threads", ranged, client, threads, 4 * MB)
    clock(f"{name} store, 8 threads", streamed, url, config.model_copy(update={"client": name}))
    clock(f"{name} sixteen ranges of 1 MiB", ranged, client, 1, MB, 16 * MB)
    clock(f"{name} list {files} files", listed, client)
    for i in range(SMALL):
        clock(f"{name} small file", create, client, f"small/{i}", b"x" * 100)


def main() -> None:
    url, node = sys.argv[1:3]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    files = int(sys.argv[4]) if len(sys.argv) > 4 else 2000
    config = StoreConfig(namenodes=(node,))
    clients: dict[str, Client] = {"native": NativeClient(url, config), "webhdfs": WebClient([node], config)}
    clients["native"].delete(ROOT)
    data = bytes(range(256)) * (BIG // 256)
    create(clients["native"], "big", data)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: create(clients["native"], f"many/{i % FOLDERS}/{i}", b""), range(files)))
    clock = Clock()
    for turn in range(rounds):
        for name, client in list(clients.items())[:: 1 if turn % 2 else -1]:
            measure(name, client, clock, url, config, data, files)
    clients["native"].delete(ROOT)
    found = {name: statistics.median(times) for name, times in clock.seconds.items()}
    moved = {name: round(BIG / MB / took) for name, took in found.items() if name.split()[1] in ("read,", "write", "store,")}
    best = {client: max(rate for name, rate in moved.items() if name.startswith(f"{client} read")) for client in clients}
    figures = {
        "MiB/s": moved,
        "seconds": {name: round(took, 4) for name, took in found.items() if name not in moved},
        "store / best of the raw client": {c: round(moved[f"{c} store, 8 threads"] / best[c], 2) for c in clients},
    }
    print(json.dumps(figures, indent=1))


main()
