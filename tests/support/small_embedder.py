"""An embedder with random weights that is small enough for a test."""

from dataclasses import replace

import torch

from models.runtime.encoder import Encoder
from models.runtime.package import EMBEDDER, write_package
from models.runtime.weights import to_weights
from tests.support.small_reader import SMALL, TOKENIZER


def write_embedder(folder, window=64, seed=0):
    """An embedder's folder."""
    torch.manual_seed(seed)
    encoder = Encoder(replace(SMALL, token_outputs=0, text_outputs=0))
    write_package(folder, "small", "en", window, encoder.config, to_weights(encoder), TOKENIZER, EMBEDDER)
    return folder
