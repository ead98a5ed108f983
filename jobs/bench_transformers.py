"""The question-answering pipeline of transformers 4.57 in fp32, timed; run by a Python of its own, which has nothing of ours.

Its encoder has the shapes of MiniLM-L6, as our English reader has: speed does not hang on the values of the weights.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from torch import set_num_threads
from transformers import BertConfig, BertForQuestionAnswering, BertTokenizerFast, pipeline

ZOO = Path(__file__).resolve().parent.parent / "models" / "zoo"


def main() -> None:
    """Answer lines of standard input, `[batch, [[question, passage], ...]]`, by the seconds that the pipeline takes."""
    set_num_threads(int(sys.argv[1]))
    shape = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    tokenizer = BertTokenizerFast(tokenizer_file=str(ZOO / "qa-en" / "tokenizer.json"))
    answering = pipeline("question-answering", model=BertForQuestionAnswering(shape).eval(), tokenizer=tokenizer, device=-1)
    for line in sys.stdin:
        batch, pairs = json.loads(line)
        began = time.perf_counter()
        answering([{"question": question, "context": text} for question, text in pairs], batch_size=batch, max_seq_len=256)
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
