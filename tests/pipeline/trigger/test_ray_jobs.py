"""What a Ray dashboard answers is told by the HTTP status, never by words, which may be those of a job's id."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipeline.nightly.config import SubmitConfig
from pipeline.trigger.job_watcher import ConnectionLostError
from pipeline.trigger.ray_jobs import RayJobs


class Dashboard(BaseHTTPRequestHandler):
    answers = ()

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/api/version":
            status, body = 200, {"ray_version": "2.60.0", "version": "4"}
        else:
            body = {"status": "RUNNING", "type": "SUBMISSION", "entrypoint": ""}
            status = self.answers[self.path.rsplit("/", 1)[-1]]
        data = (json.dumps(body) if status == 200 else f"the job {self.path} does not exist, or 404").encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def test_a_job_that_is_not_there_is_told_by_the_status():
    answers = {"gone": 404, "night-404-a1": 500, "runs": 200}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Those", (Dashboard,), {"answers": answers}))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        jobs = RayJobs(f"http://127.0.0.1:{server.server_port}", SubmitConfig())
        assert jobs.status("gone") is None
        assert jobs.status("runs") == "RUNNING"
        with pytest.raises(ConnectionLostError, match="HTTP 500"):  # a passing failure is no missing job
            jobs.status("night-404-a1")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
