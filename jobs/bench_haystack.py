"""The extractive reader of Haystack in fp32, timed; run by a Python of its own, which has nothing of ours.

Its encoder has the shapes of MiniLM-L6, as our English reader has: speed does not hang on the values of the weights.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path

from haystack import Document
from haystack.utils import ComponentDevice
from haystack_integrations.components.readers.transformers import TransformersExtractiveReader
from torch import set_num_threads
from transformers import BertConfig, BertForQuestionAnswering, BertTokenizerFast

ZOO = Path(__file__).resolve().parent.parent / "models" / "zoo"


def main() -> None:
    """Answer lines of standard input, `[batch, [[question, passage], ...]]`, by the seconds that the reader takes."""
    set_num_threads(int(sys.argv[1]))
    shape = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    with tempfile.TemporaryDirectory() as folder:
        BertForQuestionAnswering(shape).save_pretrained(folder)
        BertTokenizerFast(tokenizer_file=str(ZOO / "qa-en" / "tokenizer.json")).save_pretrained(folder)
        reader = TransformersExtractiveReader(model=folder, device=ComponentDevice.from_str("cpu"), max_seq_length=256)
        reader.warm_up()
    for line in sys.stdin:
        batch, pairs = json.loads(line)
        began = time.perf_counter()
        for question, mine in groupby(pairs, key=lambda pair: pair[0]):
            documents = [Document(content=text) for _, text in mine]
            reader.run(query=question, documents=documents, top_k=1, max_batch_size=batch)
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
