"""`textmill watch` in a process of its own."""

import json
import signal
import subprocess
import sys
import threading

from tests.support import ROOT
from tests.support.nights import environment


class Watching:
    """A watcher in a process of its own; `wait` gives the first line that has come so."""

    def __init__(self, conf, *options, **env):
        command = [sys.executable, "-m", "jobs", "watch", str(conf), *map(str, options)]
        self.process = subprocess.Popen(command, env=environment(**env), cwd=ROOT, stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.came = threading.Condition()
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stderr:
            with self.came:
                self.lines.append(json.loads(line) if line.startswith("{") else {"event": "other", "text": line})
                self.came.notify_all()

    def wait(self, **wanted):
        def found():
            return [line for line in self.lines if wanted.items() <= line.items()]

        with self.came:
            assert self.came.wait_for(found, 60), (wanted, self.lines)
            return found()[-1]

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(30)
        self.reader.join()
        return code
