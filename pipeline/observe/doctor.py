"""Whether what a run needs is there: packages, models, instruction sets, a file system that keeps its promises."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from uuid import uuid4

from models.extras import install
from pipeline.errors import StoreError, TakenError
from pipeline.observe.warnings import in_words
from pipeline.sink.manifest import last_manifest
from pipeline.store.base import Store
from pipeline.store.open import is_local, open_store
from pipeline.store.settings import StoreConfig

NEEDED = ("duckdb", "jinja2", "numpy", "openvino", "pyarrow", "pydantic", "rich", "safetensors", "tokenizers", "typer")
EXTRAS = {"ray": "ray", "torch": "torch", "spacy": "spacy"}
LOW_BYTES = 1 << 30
# By language: a sentence, and a place that its models must find in it.
SENTENCES = {"en": ("Ms Keller flew to Oslo.", "Oslo"), "zh": ("王芳昨天从北京飞往上海。", "北京")}
# What readers are asked of them.
QUESTIONS = {"en": "Where did Ms Keller fly to?", "zh": "王芳飞往哪里\uff1f"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What was looked at.
        well: Whether it is as it should be; None if it is only worth knowing.
        text: What was found, and a remedy where there is one.
    """

    name: str
    well: bool | None
    text: str


def run_checks(output: str | None, config: StoreConfig | None = None) -> Iterator[Check]:
    """Check one thing after the other: Python, packages, CPU, models and, if it is named, an output.

    Args:
        output: Folder of an output or its URL; the check writes there, and removes what it wrote. None leaves it out.
        config: How remote stores are reached.

    Yields:
        What each check found; what fails is told as a check that is not well.

    Raises:
        ConfigError: Nothing serves the URL of the output, or a package for it is missing.
    """
    fine = sys.version_info >= (3, 11)
    yield Check("Python", fine, platform.python_version() + ("" if fine else ": install 3.11 or newer"))
    yield from _packages()
    yield from _cpu()
    yield from _models()
    if output is not None:
        yield from check_output(output, config)


def _packages() -> Iterator[Check]:
    for name in NEEDED:
        try:
            yield Check(name, True, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Check(name, False, "not installed: pip install textmill")
    for extra, name in EXTRAS.items():
        try:
            yield Check(name, True, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Check(name, None, f"not installed; what needs it says so: {install(extra)}")


def _cpu() -> Iterator[Check]:
    from models.runtime.cpu import cpu_name
    from models.runtime.engines import default_threads

    name = cpu_name()
    fast = any(word in name for word in ("avx512_vnni", "avx_vnni", "amx_int8"))
    slow = "" if fast else "; no int8 instructions (AVX-VNNI, AVX512-VNNI, AMX): models run at a fraction of their speed"
    yield Check("CPU", True if fast else None, f"{name}, {default_threads()} threads{slow}")


def _models() -> Iterator[Check]:
    from models.errors import ModelError
    from models.runtime.embedder import load_embedder
    from models.runtime.load import load
    from models.runtime.package import EMBEDDER, READER, installed
    from models.runtime.reader import load_reader

    for name in installed():
        try:
            tagger = load(name, engine="openvino")
            text, place = SENTENCES[tagger.languages[0]]
            found = [entity["text"] for entity in tagger.tag([text])["entities"][0].as_py()]
            yield Check(f"model {name}", place in found, f"finds {', '.join(found) or 'nothing'} in {text}")
        except (ModelError, RuntimeError, OSError) as error:
            yield Check(f"model {name}", False, f"{error}; install the package again")
    for name in installed(READER):
        try:
            reader = load_reader(name, engine="openvino")
            text, _ = SENTENCES[reader.lang]
            answer = reader.read([QUESTIONS[reader.lang]], [text])[0].text
            yield Check(f"reader {name}", bool(answer), f"{QUESTIONS[reader.lang]} {answer or 'nothing'}, in {text}")
        except (ModelError, RuntimeError, OSError) as error:
            yield Check(f"reader {name}", False, f"{error}; install the package again")
    for name in installed(EMBEDDER):
        try:
            embedder = load_embedder(name, engine="openvino")
            text, other = SENTENCES[embedder.lang][0], SENTENCES["en" if embedder.lang == "zh" else "zh"][0]
            asked, mine, foreign = embedder.vectors([QUESTIONS[embedder.lang], text, other])
            yield Check(f"embedder {name}", bool(asked @ mine > asked @ foreign), f"{text} is near {QUESTIONS[embedder.lang]}")
        except (ModelError, RuntimeError, OSError) as error:
            yield Check(f"embedder {name}", False, f"{error}; install the package again")


def check_output(output: str, config: StoreConfig | None) -> Iterator[Check]:
    """Try the calls that exactly-once rests on, in a folder of their own.

    Args:
        output: Output folder, or its URL; it need not be there.
        config: How it is reached.

    Yields:
        What was found.
    """
    store = open_store(output, config)
    made = is_local(output) and not Path(store.url).exists()
    trial = f"_doctor-{uuid4().hex[:8]}"
    try:
        for name in ("a", "b"):
            with store.create_exclusive(f"{trial}/{name}") as stream:
                stream.write(b"x")
        refused = False
        try:
            store.rename_no_overwrite(f"{trial}/a", f"{trial}/b")
        except TakenError:
            refused = True
        store.rename_no_overwrite(f"{trial}/a", f"{trial}/c")
        yield Check(
            "output", refused, f"{output}: " + ("a rename overwrites nothing" if refused else "renames overwrite: unsafe")
        )
        with store.create_exclusive(f"{trial}/one/x"), store.create_exclusive(f"{trial}/two/y"):
            pass
        try:
            store.swap_folders(f"{trial}/one", f"{trial}/two")
            left = [entry.path for entry in store.list(trial)]
            yield Check("output", f"{trial}/one/y" in left, "folders change places, as --retag needs")
        except StoreError as error:
            yield Check("output", None, f"folders cannot change places, --retag would fail: {error.message}")
        yield from _last_run(store)
        if (free := store.free_bytes()) is not None:
            yield Check("output", True if free > LOW_BYTES else None, f"{free / 1e9:,.1f} GB free")
    except StoreError as error:
        yield Check("output", False, f"{output}: {error.message}; name a folder that can be written")
    finally:
        with suppress(StoreError):
            store.delete(trial)
        if made:
            with suppress(OSError):
                Path(store.url).rmdir()


def _last_run(store: Store) -> Iterator[Check]:
    """What the last run into an output has warned of."""
    try:
        for warning in (last_manifest(store) or {}).get("warnings", ()):
            yield Check("last run", None, in_words(warning))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        yield Check("last run", None, f"its manifest cannot be read ({type(error).__name__})")
