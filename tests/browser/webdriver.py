"""A browser for tests: headless Chromium through chromedriver, by the few calls of the WebDriver protocol that tests need."""

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from contextlib import contextmanager

MISSING = next((name for name in ("chromium", "chromedriver") if shutil.which(name) is None), None)
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """One session. Scripts get their arguments as `arguments`, and their value comes back."""

    def __init__(self, server):
        self._server = server
        # 127.0.0.1 alone: no proxy, no network.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        switches = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--force-prefers-reduced-motion",
        ]
        options = {"binary": shutil.which("chromium"), "args": [*switches, "--window-size=1280,900"]}
        logs = {"browser": "ALL"}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": logs}}
        self._path = ""
        self._path = "/session/" + self._call("POST", "/session", {"capabilities": wanted})["sessionId"]

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._server + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with self._opener.open(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from error

    def open(self, path):
        self._call("POST", f"{self._path}/url", {"url": path if isinstance(path, str) else path.as_uri()})

    def run(self, script, *arguments):
        return self._call("POST", f"{self._path}/execute/sync", {"script": script, "args": list(arguments)})

    def find(self, selector):
        found = self._call("POST", f"{self._path}/element", {"using": "css selector", "value": selector})
        return found[_ELEMENT]

    def click(self, selector):
        self._call("POST", f"{self._path}/element/{self.find(selector)}/click", {})

    def type(self, selector, text):
        self._call("POST", f"{self._path}/element/{self.find(selector)}/value", {"text": text})

    def press(self, *keys):
        """Press keys on whatever has the focus."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._call("POST", f"{self._path}/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def size(self, width, height):
        self._call("POST", f"{self._path}/window/rect", {"width": width, "height": height})

    def phone(self, width, height):
        """A screen of this size, below the least size of a window."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
        self.command("Emulation.setDeviceMetricsOverride", metrics)

    def command(self, name, values):
        return self._call("POST", f"{self._path}/goog/cdp/execute", {"cmd": name, "params": values})

    def log(self):
        return self._call("POST", f"{self._path}/se/log", {"type": "browser"})

    def screenshot(self):
        return base64.b64decode(self._call("GET", f"{self._path}/screenshot"))

    def pdf(self):
        return base64.b64decode(self._call("POST", f"{self._path}/print", {}))

    def close(self):
        self._call("DELETE", self._path)


@contextmanager
def browser():
    """A browser of one's own; its processes and its temporary files end with it."""
    own = tempfile.mkdtemp()
    command = ["chromedriver", "--port=0"]
    env = {**os.environ, "TMPDIR": own}
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)
    try:
        port = next(found[1] for line in driver.stdout if (found := re.search(r"started successfully on port (\d+)", line)))
        made = Browser(f"http://127.0.0.1:{port}")
        try:
            yield made
        finally:
            made.close()
    finally:
        driver.terminate()
        driver.wait(10)
        driver.stdout.close()
        shutil.rmtree(own, ignore_errors=True)
