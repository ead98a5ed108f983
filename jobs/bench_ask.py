"""What `textmill bench ask` asks: documents and questions of the corpora, an index of them; and what it is set against."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import JobFailedError

ASKED = 3000
DOCUMENTS, ANSWERS, OUTPUT = "documents.jsonl", "answers", "out"
PASSAGES = (3, 10)
# Threads of both; batches of the pipeline are tried, the best counts.
BATCHES = (1, 8)


def documents_and_questions(data_dir: Path, work: Path, count: int) -> list[str]:
    """Write documents of the corpora, if they are not there, and choose questions that they answer.

    Args:
        data_dir: Folder of the corpora.
        work: Folder that the documents are written to.
        count: How many documents.

    Returns:
        Different English questions, in random order.

    Raises:
        DataMissingError: A corpus is not there.
    """
    from models.factory.reader_corpora import dev_questions, training_questions

    asked = [one for _, some in training_questions(data_dir, "en") for one in some if one.answers]
    asked += [one for some in dev_questions(data_dir, "en").values() for one in some if one.answers]
    passages = list(dict.fromkeys(one.context for one in asked if len(one.context) > 60))
    rng = np.random.default_rng(0)
    chosen = {passages[i] for i in rng.permutation(len(passages))[:count]}
    path = work / DOCUMENTS
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        lines = (
            json.dumps({"id": f"d{i}", "text": text}, ensure_ascii=False) for i, text in enumerate(passages) if text in chosen
        )
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    questions = list(dict.fromkeys(one.question for one in asked if one.context in chosen and len(one.question) < 200))
    return [questions[i] for i in rng.permutation(len(questions))[:ASKED]]


def indexed(work: Path, say: Callable[[str], object]) -> Path:
    """Tag and index the documents, if they are not.

    Args:
        work: Folder of the documents.
        say: Hears what is done.

    Returns:
        Folder of the index.

    Raises:
        JobFailedError: A command has failed; it has said why.
    """
    answers = work / ANSWERS
    steps = (
        ("tag", str(work / DOCUMENTS), str(work / OUTPUT), "--id-column", "id", "--keep-text", "--model", "en-fast"),
        ("index", str(work / OUTPUT), str(answers)),
    )
    for step in steps:
        say(" ".join(["textmill", *step]))
        done = subprocess.run([sys.executable, "-m", "jobs", *step], check=False, stdout=subprocess.DEVNULL)
        if done.returncode:
            raise JobFailedError(f"textmill {step[0]} has failed, see above; --work names another folder", done.returncode)
    return answers


def against(answers: Path, questions: Sequence[str], python: Path, say: Callable[[str], object]) -> dict[str, Any]:
    """Time our reader and the question-answering pipeline of transformers on the same passages, in turns.

    Args:
        answers: Folder of an index.
        questions: What is asked.
        python: Python that has transformers and torch.
        say: Hears what is done.

    Returns:
        By number of passages: milliseconds of a question (medians) of both and their ratio; and of ten passages of many questions
        the questions a second of both and their ratio.

    Raises:
        JobFailedError: The pipeline has failed.
    """
    from models.runtime.engines import default_threads
    from models.runtime.reader import load_reader
    from pipeline.ask.search import PassageIndex

    index, reader = PassageIndex(answers), load_reader("qa-en")
    asked = [(question, [one.text for one in index.search(question, max(PASSAGES))]) for question in questions]
    asked = [(question, texts) for question, texts in asked if len(texts) == max(PASSAGES)]
    say(f"transformers: {len(asked)} questions")
    code = Path(__file__).with_name("bench_transformers.py")
    with subprocess.Popen(
        [python, code, str(default_threads())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None

        def theirs(pairs: list[tuple[str, str]], batch: int) -> float:
            assert other.stdin is not None
            assert other.stdout is not None
            with suppress(BrokenPipeError):  # it has died; its silence tells
                print(json.dumps([batch, pairs]), file=other.stdin, flush=True)
            line = other.stdout.readline()
            if not line:
                raise JobFailedError(f"{python} has failed, see above; it needs transformers 4.57 and torch")
            return float(line)

        theirs([("who?", "nobody.")] * 4, 2)
        found: dict[str, Any] = {}
        for count in PASSAGES:
            ours, yours = [], []
            for question, texts in asked[:30]:
                began = time.perf_counter()
                reader.read([question] * count, texts[:count])
                ours.append(time.perf_counter() - began)
                yours.append(min(theirs([(question, text) for text in texts[:count]], batch) for batch in BATCHES))
            mine, other_ms = (1000 * statistics.median(values) for values in (ours, yours))
            found[f"{count} passages"] = {"ms": mine, "pipeline_ms": other_ms, "ratio": other_ms / mine}
        pairs = [(question, text) for question, texts in asked for text in texts]
        rates: list[tuple[float, float]] = []
        for _ in range(3):
            began = time.perf_counter()
            reader.read([question for question, _ in pairs], [text for _, text in pairs])
            rates.append(
                (len(asked) / (time.perf_counter() - began), len(asked) / min(theirs(pairs, batch) for batch in BATCHES))
            )
        per_s, pipeline_per_s = (statistics.median(values) for values in zip(*rates, strict=True))
        found["throughput"] = {"per_s": per_s, "pipeline_per_s": pipeline_per_s, "ratio": per_s / pipeline_per_s}
        other.stdin.close()
    return found
