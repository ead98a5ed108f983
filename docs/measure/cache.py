"""Runs over a day of which 60 % of the texts were tagged the day before: without Redis, with it warm, cold, dead, mute, slow.

Run: python docs/measure/cache.py DATA/corpora/reddit [MODEL [DOCUMENTS [ROUNDS]]]   (needs redis-server and textmill[cache])
Each round makes all runs, one after the other; printed are medians, and ratios to the run without, by the clock and by the
time of the CPU, which others on the machine do not stretch.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from models.runtime.cpu import cpu_name
from pipeline.config import load_config
from pipeline.contract import DocumentSpec
from pipeline.run.run import tag_documents
from pipeline.source.texts import texts_of

REPEATED = 0.6
FILES = 8
DELAY_S = 0.15


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def write(folder: Path, texts: list[str]) -> Path:
    folder.mkdir()
    for n in range(FILES):
        lines = [json.dumps({"id": f"{n}-{i}", "text": text}) for i, text in enumerate(texts[n::FILES])]
        (folder / f"{n}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def delayed(port: int) -> int:
    """The port of a proxy before that one which holds back every answer."""
    listening = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket, delay_s: float) -> None:
        try:
            while data := source.recv(1 << 20):
                time.sleep(delay_s)
                sink.sendall(data)
        except OSError:
            pass

    def serve() -> None:
        while True:
            near = listening.accept()[0]
            far = socket.create_connection(("127.0.0.1", port))
            threading.Thread(target=pump, args=(near, far, 0.0), daemon=True).start()
            threading.Thread(target=pump, args=(far, near, DELAY_S), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return int(listening.getsockname()[1])


def main() -> None:
    """Print documents/s of each kind of run, and what its cache did."""
    corpus, model, count, rounds = [*sys.argv[1:], *["en-fast", "6000", "3"][len(sys.argv) - 2 :]][:4]
    texts = list(dict.fromkeys(texts_of([corpus], DocumentSpec())))
    random.Random(5).shuffle(texts)
    size = int(count)
    known = int(REPEATED * size)
    today, port = texts[:size], free_port()
    random.Random(6).shuffle(today)
    root = Path(tempfile.mkdtemp())
    before, day = write(root / "before", texts[:known]), write(root / "day", today)
    server = subprocess.Popen(["redis-server", "--port", str(port), "--save", "", "--dir", str(root)], stdout=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}"
    time.sleep(1)

    def run(source: Path, redis_url: str | None) -> tuple[float, float, str]:
        out = root / "out"
        flags = {"sources": [str(source)], "output": out, "id_column": "id", "model": model, "cache": {"redis_url": redis_url}}
        began = time.process_time()
        with redirect_stderr(StringIO()):
            result = tag_documents(load_config(None, (), flags))
        cpu_s = time.process_time() - began
        (path,) = (out / "_runs").glob("*.metrics.json")
        did = json.dumps(json.loads(path.read_text())["cache"])
        tags = pq.read_table(out / "tags").sort_by("id")
        if source == day:
            seen.setdefault("tags", tags)
            assert tags.equals(seen["tags"]), "the output differs"
        shutil.rmtree(out)
        return result.documents_s, result.rows_out / cpu_s, did

    seen: dict[str, pa.Table] = {}
    by_cpu = defaultdict[str, list[float]](list)
    speeds, last = defaultdict[str, list[float]](list), dict[str, str]()
    try:
        for _ in range(int(rounds)):
            for kind in ("without", "warm", "cold", "dead", "mute", "slow"):
                subprocess.run(["redis-cli", "-p", str(port), "flushall"], stdout=subprocess.DEVNULL, check=True)
                if kind in ("warm", "slow"):
                    run(before, url)
                if kind == "mute":
                    server.send_signal(signal.SIGSTOP)
                where = {"without": None, "dead": f"redis://127.0.0.1:{free_port()}"}.get(kind, url)
                if kind == "slow":
                    where = f"redis://127.0.0.1:{delayed(port)}"
                speed, of_cpu, last[kind] = run(day, where)
                by_cpu[kind].append(of_cpu)
                server.send_signal(signal.SIGCONT)
                speeds[kind].append(speed)
    finally:
        server.kill()
        shutil.rmtree(root)
    base, base_cpu = statistics.median(speeds["without"]), statistics.median(by_cpu["without"])
    print(f"{cpu_name()}, {model}, {size:,} documents, {REPEATED:.0%} of them known, medians of {rounds}; all outputs are equal")
    for kind, each in speeds.items():
        speed = statistics.median(each)
        of_cpu = statistics.median(by_cpu[kind])
        print(f"{kind:8} {speed:6,.0f} documents/s {speed / base:5.2f}x, of CPU time {of_cpu / base_cpu:5.2f}x  {last[kind]}")


if __name__ == "__main__":
    main()
