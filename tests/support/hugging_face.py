"""Small models of random weights, saved as transformers saves them."""

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertTokenizer,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
)

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = [
    "[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *("##" + letter for letter in LETTERS), *LETTERS.upper(),
    *".,!?'-", "1", "2", "##1", "the", "in", "Anna", "anna", "Oslo", "oslo", "visited", "##ing", "##er", "##ed", "中", "文", "é",
]  # fmt: skip
TEXTS = [
    "Anna visited Oslo.", "the singer in OSLO met Anna's father, in 1211!", "Café in 中文 Zürich?", "", "x",
    "🙂 well [MASK] then", "a " * 30, "Die Bäckerin lebt in Wien - und singt.",
]  # fmt: skip
BIO = ["O", "I-LOC", "B-PER", "B-LOC", "I-PER", "B-ORG", "I-ORG"]
CLASSES = ["Positive", "LABEL_1", "NEGATIVE", "neutral"]
SIZES = {
    "bert": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
}
KINDS = {
    ("bert", "tokens"): (BertConfig, BertForTokenClassification),
    ("bert", "texts"): (BertConfig, BertForSequenceClassification),
    ("distilbert", "tokens"): (DistilBertConfig, DistilBertForTokenClassification),
    ("distilbert", "texts"): (DistilBertConfig, DistilBertForSequenceClassification),
}


def make(folder, family="bert", task="tokens", names=None, cased=False, only_vocabulary=False, seed=0, **more):
    """Save a model of random weights with its tokenizer, and return both."""
    names = names or (BIO if task == "tokens" else CLASSES)
    config_class, model_class = KINDS[family, task]
    given = {**SIZES[family], "vocab_size": len(VOCABULARY) + 3, "max_position_embeddings": 64, **more}
    torch.manual_seed(seed)
    model = model_class(config_class(id2label=dict(enumerate(names)), **given)).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            size = 0.1 if name.endswith("bias") else 2.0 if name.startswith("classifier") else 1.0 if "word" in name else 0.2
            value.copy_(torch.randn_like(value) * size + ("LayerNorm.weight" in name or "norm.weight" in name))
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    tokenizer = BertTokenizer(str(folder / "vocab.txt"), do_lower_case=not cased)
    tokenizer.save_pretrained(folder)
    (folder / ("tokenizer.json" if only_vocabulary else "vocab.txt")).unlink()
    return model, tokenizer
