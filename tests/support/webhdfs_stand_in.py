"""A WebHDFS server in this process, with switches for what a real one does not do on demand.

`faults` maps an operation to what goes wrong with its next requests, one after the other: "lost" (done, but no answer comes),
"reset" (not done, and no answer comes), "refuse" (not done, and the answer is false), "short" (half of the bytes, then the
end), "mute" (no answer until `released` is set), "nonsense" (an answer that is no JSON), "late" (mute, and done only when it is
released), an HTTP status, or the name of a Java class that is thrown.
"""

import json
import threading
from collections import defaultdict
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


class Files:
    """A tree of files that several servers may serve; `clock_ms` is the servers' time."""

    def __init__(self):
        self.files, self.folders, self.clock_ms, self.lock = {}, {"/"}, 1_000_000, threading.RLock()

    def put(self, path, data):
        self.make(path.rpartition("/")[0] or "/")
        self.clock_ms += 1
        self.files[path] = (data, self.clock_ms)

    def make(self, folder):
        while folder not in self.folders:
            self.folders.add(folder)
            folder = folder.rpartition("/")[0] or "/"

    def status(self, path):
        if path in self.files:
            data, when = self.files[path]
            return {"type": "FILE", "length": len(data), "modificationTime": when, "blockSize": 8 << 20}
        return {"type": "DIRECTORY", "length": 0, "modificationTime": 0, "blockSize": 0} if path in self.folders else None

    def rename(self, source, target):
        if target in self.folders:
            target = f"{target}/{source.rpartition('/')[2]}"  # as the real one does
        if target in self.files or source not in self.files or (target.rpartition("/")[0] or "/") not in self.folders:
            return False
        self.files[target] = self.files.pop(source)
        return True

    def delete(self, path):
        gone = [name for name in (*self.files, *self.folders) if name == path or name.startswith(f"{path}/")]
        for name in gone:
            self.files.pop(name, None)
            self.folders.discard(name)
        return bool(gone)


class StandIn:
    def __init__(self, files=None):
        self.files = files or Files()
        self.faults, self.asked, self.queries, self.released = defaultdict(list), [], [], threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"stand_in": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every answer waits 40 ms for its second half
    stand_in = None

    def log_message(self, *_):
        pass

    def _serve(self):
        with suppress(BrokenPipeError, ConnectionResetError):
            self._answered()

    do_GET = do_PUT = do_DELETE = do_POST = _serve

    def _answered(self):
        parts = urlsplit(self.path)
        path = unquote(parts.path.removeprefix("/webhdfs/v1")) or "/"
        given = {key: values[0] for key, values in parse_qs(parts.query).items()}
        op = given["op"] + ("2" if "step" in given else "")
        body = self._body()
        me = self.stand_in
        me.asked.append((op, path))
        me.queries.append(given)
        fault = me.faults[op].pop(0) if me.faults[op] else None
        if fault in ("mute", "late"):
            me.released.wait()
        if fault in ("reset", "mute"):
            return self._hang_up()
        if fault == "nonsense":
            return self._send(200, b"<html>")
        if isinstance(fault, int):
            return self._send(fault, b"<html>no answer of a NameNode</html>")
        if fault == "refuse":
            return self._json({"boolean": False})
        if fault not in (None, "lost", "short", "late"):
            return self._throw(fault)
        with me.files.lock:
            status, answer, headers = self._do(op, path, given, body)
        if fault in ("lost", "late"):
            return self._hang_up()
        if fault == "short":
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer[: len(answer) // 2])
            return self._hang_up()
        return self._send(status, answer, headers)

    def _listed(self, path):
        files = self.stand_in.files
        if files.status(path)["type"] != "DIRECTORY":
            return [{**files.status(path), "pathSuffix": ""}]
        names = [n for n in (*files.files, *files.folders) if n != "/" and (n.rpartition("/")[0] or "/") == path]
        return [{**files.status(name), "pathSuffix": name.rpartition("/")[2]} for name in names]

    def _do(self, op, path, given, body):
        files = self.stand_in.files
        if op in ("GETFILESTATUS", "LISTSTATUS", "OPEN") and files.status(path) is None:
            return 404, _exception("java.io.FileNotFoundException"), {}
        if op == "GETFILESTATUS":
            return 200, _json({"FileStatus": {**files.status(path), "pathSuffix": ""}}), {}
        if op == "LISTSTATUS":
            return 200, _json({"FileStatuses": {"FileStatus": self._listed(path)}}), {}
        if op == "OPEN":
            start = int(given.get("offset", 0))
            return 200, files.files[path][0][start : start + int(given["length"])], {}
        if op == "CREATE":
            if path in files.files and given.get("overwrite", "false").lower() != "true":
                return 403, _exception("org.apache.hadoop.fs.FileAlreadyExistsException"), {}
            return 307, b"", {"Location": f"{self.stand_in.url}{self.path}&step=2"}
        if op == "CREATE2":
            files.put(path, body)
            return 201, b"", {}
        if op == "RENAME":
            return 200, _json({"boolean": files.rename(path, given["destination"])}), {}
        if op == "DELETE":
            return 200, _json({"boolean": files.delete(path)}), {}
        assert op == "MKDIRS", op
        files.make(path)
        return 200, _json({"boolean": True}), {}

    def _body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _throw(self, name):
        self._send(403, _exception(name))

    def _json(self, value):
        self._send(200, _json(value))

    def _send(self, status, body, headers=None):
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _hang_up(self):
        self.close_connection = True


def _json(value):
    return json.dumps(value).encode()


def _exception(name):
    # What it says is of no use to anybody: only the class counts.
    said = {"exception": name.rsplit(".", 1)[-1], "javaClassName": name, "message": "etwas ist geschehen"}
    return _json({"RemoteException": said})
