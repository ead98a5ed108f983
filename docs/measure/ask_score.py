"""How sure an answer is that was found in an index: fits pipeline.ask.found.WEIGHTS, and says what the scores are worth.

Run: python docs/measure/ask_score.py DATA LANG KEEP   (needs textmill[ask,factory])
LANG is en or zh. KEEP is a folder for the index, the same as of retrieval.py; it is made if it is not there. Where the language
has vectors, an index without them is made beside it. Asked are questions that the shipped reader has not learnt from; every
second one is asked once more of what is left without its document. An answer is right if its F1 is 0.5 or more. All figures are
by cross-validation over questions, the weights printed are of all of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from retrieval import write_output

from models.factory.probabilities import expected_calibration_error, fit_calibration
from models.factory.reader_evaluate import RIGHT_F1
from models.factory.reader_metrics import f1, precision_at
from models.factory.retrieval_set import retrieval_set
from models.runtime.cpu import cpu_name
from models.runtime.package import EMBEDDER, installed
from models.runtime.reader import load_reader
from pipeline.ask.found import MIN_SCORE
from pipeline.ask.index import build_index
from pipeline.ask.reading import FIRST, READ, SURE
from pipeline.ask.search import PassageIndex
from pipeline.store.local import LocalStore

HELD_OUT = {"en": {"tydi_goldp_en_dev", "realtimeqa_2020_2024"}, "zh": {"cmrc2018_trial_dev", "drcd_dev"}}
MOST_ASKED = 1000
FOLDS = 5
Float64 = npt.NDArray[np.float64]


def read_all(
    data: Path, lang: str, folder: Path, embedder: str | None
) -> tuple[Float64, Float64, npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Ask all questions.

    Returns:
        Features of each question's READ passages, shape (n, READ, 3); the F1 of what each says, -1 where there is no passage;
        whether the question's document was there; and the number of the question.
    """
    found_in = retrieval_set(data, lang)
    if not (folder / "out").exists():
        write_output(folder / "out", found_in.documents, lang)
    answers = folder / ("index" if embedder or f"embed-{lang}" not in installed(EMBEDDER) else "terms")
    build_index(LocalStore(folder / "out"), answers, embedder=embedder)
    index, reader = PassageIndex(answers), load_reader(f"qa-{lang}")
    number = {text: str(i) for i, text in enumerate(found_in.documents)}
    some = [one for one, corpus in zip(found_in.questions, found_in.corpus, strict=True) if corpus in HELD_OUT[lang]]
    some = some[:: -(-len(some) // MOST_ASKED)]
    features, right, there, of = [], [], [], []
    for n, question in enumerate(some):
        found = index.search(question.question, 3 * READ)
        without = [one for one in found if one.id != number[question.context]]
        for held, passages in ((True, found[:READ]), (False, without[:READ])):
            if not held and n % 2:
                continue
            answers = reader.read([question.question] * len(passages), [one.text for one in passages])
            rows, shares = np.zeros((READ, 3)), np.full(READ, -1.0)
            for i, (answer, passage) in enumerate(zip(answers, passages, strict=True)):
                rows[i] = max(-50.0, answer.margins[0]), passage.score, np.log1p(i)
                if answer.text:
                    shares[i] = max(f1(answer.text, text, lang) for text in question.texts)
            features.append(rows)
            right.append(shares)
            there.append(held)
            of.append(n)
    return np.array(features), np.array(right), np.array(there), np.array(of)


def fit(features: Float64, right: Float64) -> Float64:
    """Weights and constant: of all answers first, then of the surest of each question, which is the one that is given."""
    real = right >= 0
    weights = np.array(fit_calibration(features[real], right[real] >= RIGHT_F1))
    logits, chosen = best(features, right, weights, READ)
    scale, shift = fit_calibration(logits[:, None], right[np.arange(len(right)), chosen] >= RIGHT_F1)
    return np.append(scale * weights[:-1], scale * weights[-1] + shift)


def best(features: Float64, right: Float64, weights: Float64, first: int) -> tuple[Float64, npt.NDArray[np.int64]]:
    """The logit and place of each question's surest answer; those behind `first` are read where no earlier one is SURE."""
    logits = np.where(right >= 0, features @ weights[:-1] + weights[-1], -30.0)
    enough = (logits[:, :first] >= np.log(SURE / (1 - SURE))).any(axis=1)
    logits[enough, first:] = -np.inf
    chosen = logits.argmax(axis=1)
    return logits[np.arange(len(logits)), chosen], chosen


def given(scores: Float64, correct: npt.NDArray[np.bool_], least: float) -> str:
    """How many questions get an answer, and how many of the answers are right."""
    sure = scores >= least
    return f" {100 * sure.mean():.1f} % get an answer, {100 * correct[sure].mean():.1f} % of these are right"


def main() -> None:
    """Measure and fit."""
    data, lang, folder = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    for embedder in [*(f"embed-{lang}",) * (f"embed-{lang}" in installed(EMBEDDER)), None]:
        print(f"vectors: {embedder}")
        show(lang, bool(embedder), *read_all(data, lang, folder, embedder))


def show(
    lang: str,
    vectors: bool,
    features: Float64,
    right: Float64,
    there: npt.NDArray[np.bool_],
    of: npt.NDArray[np.int64],
) -> None:
    """Print what the scores are worth, and the weights."""
    fold = np.random.default_rng(0).permutation(of.max() + 1)[of] % FOLDS
    scores, f1s = np.zeros(len(of)), np.zeros(len(of))
    for k in range(FOLDS):
        mine = fold == k
        logits, chosen = best(features[mine], right[mine], fit(features[~mine], right[~mine]), FIRST)
        scores[mine] = 1 / (1 + np.exp(-logits))
        f1s[mine] = np.maximum(0, right[mine][np.arange(mine.sum()), chosen])
    correct = f1s >= RIGHT_F1
    error, surest = expected_calibration_error(scores, correct), precision_at(scores[there], correct[there], 0.6)
    print(f"{cpu_name()}; {there.sum():,} questions, {(~there).sum():,} of them also without their document")
    print(f"F1 of the surest answer {100 * f1s[there].mean():.1f}, calibration error {error:.3f}")
    print(f"of the surest 60 % right {100 * surest:.1f} %")
    for least in (0.3, MIN_SCORE, 0.5):
        print(
            f"from {least} on:",
            "; without their document:".join(given(scores[one], correct[one], least) for one in (there, ~there)),
        )
    print(f'("{lang}", {vectors}): ({", ".join(f"{weight:.5f}" for weight in fit(features, right))})')


if __name__ == "__main__":
    main()
