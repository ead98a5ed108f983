"""Tokens a second of the torch engine on this machine's GPU, or CPU, in the shape of `zh` and of twelve whole layers.

python docs/measure/torch_engine.py [TEXTS]: random ids, lengths as of posts and news, batches of 65,536 tokens (2,048 on a CPU).
"""

import copy
import sys
import time
from dataclasses import replace

import numpy as np
import torch

from models.bench import REFERENCES
from models.runtime.batches import RaggedBatch
from models.runtime.encoder import Encoder
from models.runtime.engines import TorchEngine
from models.runtime.package import ZOO, open_package


def batches_of(texts: int, budget: int, vocab: int) -> list[RaggedBatch]:
    rng = np.random.default_rng(0)
    lengths = np.sort(np.minimum(rng.geometric(1 / 38, texts) + 6, 126))
    number = np.cumsum(lengths) // budget
    out = []
    for one in np.unique(number):
        mine = lengths[number == one]
        ids = rng.integers(5, vocab, mine.sum()).astype(np.int32)
        out.append(RaggedBatch(ids, np.zeros(len(ids), np.uint8), np.append(0, np.cumsum(mine)), np.arange(len(mine))))
    return out


def main() -> None:
    where = "cuda" if torch.cuda.is_available() else "cpu"
    print(torch.cuda.get_device_name() if where == "cuda" else "CPU", "torch", torch.__version__)
    batches = batches_of(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000, 65_536 if where == "cuda" else 2_048, 9_000)
    zh = open_package(ZOO / "zh").config
    for name, config in (("zh", zh), ("twelve layers", replace(zh, layers=REFERENCES["zh"].config.layers))):
        engine = TorchEngine(copy.deepcopy(Encoder(config)), None, where)
        for _ in range(2):
            begin = time.perf_counter()
            for _ in engine.infer(batches):
                pass
            seconds = time.perf_counter() - begin
        print(f"{name}: {sum(len(batch.ids) for batch in batches) / seconds:,.0f} tokens/s")


if __name__ == "__main__":
    main()
