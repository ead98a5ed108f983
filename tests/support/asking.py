"""An index of a few documents, and a service that answers from it, in a thread of the test."""

import http.client
import json
import threading
from contextlib import contextmanager

from pipeline.ask.index import build_index
from pipeline.ask.service.server import serve_here
from pipeline.ask.service.settings import ServeConfig
from pipeline.signals import StopToken
from pipeline.store.local import LocalStore
from tests.support.runs import run

DOCUMENTS = [
    ("d1", "Volta Energy cut 300 jobs at its plant in Leeds on Monday. The union called it a disgrace.", "news", "en"),
    ("d2", "Halden Motors was bought by Northwind Group for 2.1 billion dollars, the companies said.", "news", "en"),
    ("d3", "I love the new tram in Porto! It opened in March and runs every five minutes.", "forum", "en"),
    ("d4", "The harbour of Cork was closed because of a storm. Ferries will sail again on Friday.", "forum", "en"),
    ("d5", "Anna Berg, who leads the central bank, said that rates would stay at 3 percent until spring.", "news", "en"),
    ("d6", "华星公司周一宣布收购远山汽车，交易金额为二十亿元。", "news", "zh"),
]
QUESTIONS = {
    "How many jobs did Volta Energy cut?": "300",
    "Who bought Halden Motors?": "Northwind Group",
    "Who leads the central bank?": "Anna Berg",
}
START_S = 60


def write_documents(folder, documents=DOCUMENTS, name="a.jsonl"):
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w", encoding="utf-8") as out:
        for number, (id, text, source, _) in enumerate(documents, 1):
            time = f"2026-11-{number:02d}T12:00:00Z"
            out.write(json.dumps({"id": id, "text": text, "source": source, "created_at": time}, ensure_ascii=False) + "\n")


def make_index(world, documents=DOCUMENTS, name="a.jsonl"):
    """Tag documents and index them; again with other ones under another name: they are added."""
    write_documents(world / "in", documents, name)
    run(world / "in", world / "out", keep_text=True, id_column="id", model="auto")
    build_index(LocalStore(world / "out"), world / "answers")
    return world / "answers"


@contextmanager
def serving(folder, **settings):
    """The port of a service."""
    stop, said, ready = StopToken(), [], threading.Event()

    def work():
        try:
            serve_here(folder, ServeConfig(port=0, **settings), stop, lambda line: (said.append(line), ready.set()))
        except BaseException as error:
            said.append(error)
            ready.set()
            raise

    thread = threading.Thread(target=work, name="service")
    thread.start()
    try:
        assert ready.wait(START_S), "the service does not begin"
        assert isinstance(said[0], str), said[0]
        yield int(said[0].rstrip("/").rpartition(":")[2])
    finally:
        stop.ask()
        thread.join(START_S)
        assert not thread.is_alive()


def request(port, method, path, body=None, headers=None, timeout=30):
    """Status, headers and body of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def ask(port, question, token=None, accept="application/json", **more):
    """Status, headers and body of a question."""
    headers = {"Content-Type": "application/json", "Accept": accept}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return request(port, "POST", "/v1/ask", json.dumps({"question": question, **more}), headers)
