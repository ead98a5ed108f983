"""What `textmill bench ask` asks: documents and questions of the corpora, and an index of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.errors import JobFailedError

ASKED = 3000
DOCUMENTS, ANSWERS, OUTPUT = "documents.jsonl", "answers", "out"


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

    asked = [one for _, _, some in training_questions(data_dir, "en") for one in some if one.answers]
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
