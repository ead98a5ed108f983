"""Folders on a real HDFS or an S3 server, and runs whose input and output lie there."""

import json
from uuid import uuid4

from pipeline.config import load_config
from pipeline.run.run import tag_documents
from pipeline.sink.layout import CLAIM
from pipeline.sink.ledger import batches_of
from pipeline.store.open import open_store
from pipeline.store.settings import StoreConfig


class Place:
    """A folder of a remote file system, and how it is reached."""

    def __init__(self, url, config):
        self.url, self.config = url, config
        self.store = open_store(url, config)

    def put(self, path, data):
        with self.store.create_exclusive(path) as stream:
            stream.write(data)

    def put_lines(self, path, *texts):
        name = path.rsplit("/", 1)[-1].partition(".")[0]
        lines = [json.dumps({"id": f"{name}-{i}", "text": text}) for i, text in enumerate(texts)]
        self.put(path, "".join(line + "\n" for line in lines).encode())

    def run(self, source="in", output="out", **more):
        given = {"id_column": "id", "model": "en-fast", "threads": 1, "store": self.config.model_dump(), **more}
        values = {"sources": [f"{self.url}/{source}"], "output": f"{self.url}/{output}", **given}
        return tag_documents(load_config(None, (), values))

    def rows(self, kind="tags", output="out"):
        found = batches_of(open_store(f"{self.url}/{output}", self.config), kind, None)
        return [row for batch in found for row in batch.to_pylist()]

    def state(self, output="out"):
        """Every file of an output, with its bytes; but for the claim, which every run counts up."""
        store = open_store(f"{self.url}/{output}", self.config)
        found = {}
        for entry in store.list():
            if not entry.path.startswith(f"{CLAIM}/"):
                with store.open_read(entry.path) as stream:
                    found[entry.path] = stream.read()
        return found


def remote_place(request):
    """A place on the real HDFS or the S3 server, by the parameter of a test: hdfs-native, webhdfs or s3."""
    name = f"runs/{uuid4().hex[:8]}"
    if request.param == "s3":
        request.getfixturevalue("s3")
        return Place(f"s3://textmill/{name}", StoreConfig())
    hdfs = request.getfixturevalue("hdfs")
    return Place(f"{hdfs.url}/{name}", hdfs.config(client="native" if request.param == "hdfs-native" else "webhdfs"))


def table_of_store(place, name):
    """The settings of the store as a table of TOML."""
    given = place.config.model_dump(mode="json", exclude_none=True, exclude={"token"})
    lines = [f"{key} = {json.dumps(value)}" for key, value in given.items()]
    return "\n".join([f"[{name}]", *lines, ""])
