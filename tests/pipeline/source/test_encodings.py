"""The encoding is told by the file, once, and nothing is tagged as garbage."""

import gzip
import json
import os
import struct

import pytest

from pipeline.config import load_config
from pipeline.errors import ConfigError
from pipeline.source.encodings import HEAD_BYTES, detect_encoding
from tests.support.reading import places, read, usual

CHINESE = ["王小明上周去了成都。", "那家餐厅的菜很好吃,服务也不错。", "腾讯公司发布了新的产品。", "价格便宜,推荐大家购买"]
TAIWAN = ["王小明上週去了臺北。", "那家餐廳的菜很好吃,服務也不錯。", "台積電公司發布了新的產品。", "價格便宜,推薦大家購買"]
JAPANESE = ["先週、京都で山本さんに会いました。", "その店の料理はとてもおいしかったです。", "新しい製品が発売されました"]
KOREAN = ["지난주에 부산에서 민수를 만났습니다.", "그 식당 음식이 정말 맛있었어요.", "새로운 제품이 나왔습니다"]
RUSSIAN = ["На прошлой неделе мы были в Казани.", "Еда в этом ресторане очень вкусная.", "Компания выпустила новый продукт"]
FRENCH = ["La semaine dernière, à Nîmes, nous avons mangé très tôt.", "Le garçon était déçu.", "Où êtes-vous né?"]
CASES = [
    ("gb18030", CHINESE), ("gbk", CHINESE), ("big5", TAIWAN), ("cp932", JAPANESE), ("euc_jp", JAPANESE), ("cp949", KOREAN),
    ("cp1251", RUSSIAN), ("koi8-r", RUSSIAN), ("cp1252", FRENCH), ("utf-8", CHINESE), ("utf-16-le", FRENCH),
    ("utf-16-be", RUSSIAN), ("utf-16-le", CHINESE), ("utf-32-le", CHINESE), ("utf-32-be", FRENCH),
]  # fmt: skip


def written(suffix, texts):
    if suffix == ".csv":
        return "id,text\n" + "".join(f'{i},"{text}"\n' for i, text in enumerate(texts))
    if suffix == ".tsv":
        return "id\ttext\n" + "".join(f"{i}\t{text}\n" for i, text in enumerate(texts))
    if suffix == ".txt":
        return "\n".join(texts)
    records = [{"id": str(i), "text": text} for i, text in enumerate(texts)]
    if suffix == ".json":
        return json.dumps(records, ensure_ascii=False, indent=1)
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".json", ".jsonl"])
@pytest.mark.parametrize(("encoding", "texts"), CASES)
def test_the_file_tells_its_encoding(tmp_path, encoding, texts, suffix):
    texts = texts * 5
    (tmp_path / f"a{suffix}").write_bytes(written(suffix, texts).encode(encoding))
    whole, cut = (read(tmp_path, target) for target in (1 << 40, 20))
    assert ([text for _, text in whole[0]], whole[1]) == (texts, [])
    assert cut[:2] == whole[:2]
    wide = encoding.startswith("utf")
    assert cut[2]["replaced_characters"] == 0
    assert sum(count for name, count in cut[2].items() if name.startswith("files_in_")) == (not wide or encoding != "utf-8")


@pytest.mark.parametrize(("encoding", "texts"), CASES[:9])
def test_one_sentence_is_enough(tmp_path, encoding, texts):
    (tmp_path / "a.csv").write_bytes(f'id,text\n1,"{texts[0]}"\n'.encode(encoding))
    assert read(tmp_path)[0] == [("1", texts[0])]


def test_a_name_goes_before_what_is_told_and_a_mark_before_a_name(tmp_path):
    (tmp_path / "a.txt").write_bytes("Grüße".encode("cp1252"))
    assert read(tmp_path, id=None, reading=usual(encoding="koi8-r"))[0][0][1] == "Grüße".encode("cp1252").decode("koi8-r")
    (tmp_path / "a.txt").write_bytes("Grüße".encode("utf-8-sig"))
    assert read(tmp_path, id=None, reading=usual(encoding="koi8-r"))[0][0][1] == "Grüße"


def test_some_bad_bytes_do_not_make_another_encoding(tmp_path):
    good, bad = "Zoë war in München\n".encode(), "Zoë war in München\n".encode("cp1252")
    cut = "ein Emoji: \U0001f600".encode()[:-1] + b"\n"
    (tmp_path / "a.txt").write_bytes(good * 3 + bad + good + cut)
    rows, _, counts = read(tmp_path, id=None)
    assert [text for _, text in rows].count("Zoë war in München") == 4
    assert counts["replaced_characters"] == 3


def test_what_begins_as_ascii_is_looked_at_further_on(tmp_path):
    ascii_lines, chinese = b"only ASCII here\n" * (HEAD_BYTES // 16 + 1000), "".join(f"{one}\n" for one in CHINESE).encode("gbk")
    (tmp_path / "a.txt").write_bytes(ascii_lines + chinese * 20_000)
    rows, letters, counts = read(tmp_path, 100_000, id=None)
    assert (rows[-1][1], letters, counts["files_in_gb18030"]) == (CHINESE[-1], [], 1)


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".jsonl", ".tsv", ".txt.gz"])
@pytest.mark.parametrize("what", ["png", "random", "counters", "doc"])
def test_what_is_no_text_is_refused_as_a_file(tmp_path, suffix, what):
    data = {
        "png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 100,
        "random": os.urandom(50_000),
        "counters": b"".join(struct.pack("<q", i) for i in range(9000)),
        "doc": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(range(200)) * 50,
    }[what]
    (tmp_path / f"a{suffix}").write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    rows, letters, counts = read(tmp_path)
    assert (rows, places(letters)) == ([], [(0, "file_unreadable")])
    assert "no text" in letters[0].message
    assert counts["lost_bytes"] > 0


def test_nul_bytes_in_a_text_are_no_other_encoding(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\0" * 5001 + b'{"text": "in Oslo"}\n' * 30)
    assert [text for _, text in read(tmp_path, id=None)[0]] == ["in Oslo"] * 30
    assert detect_encoding(b"a\0b\n" * 3 + b"plain text here, and more of it\n" * 30, "auto").name == "utf-8"


def test_encodings_that_are_none():
    for name in ("no-such", "rot13", "hex", "base64"):
        with pytest.raises(ConfigError, match=f"encoding {name}"):
            load_config(None, (), {"sources": ["in"], "output": "out", "encoding": name})
    assert load_config(None, (), {"sources": ["in"], "output": "out", "encoding": "GBK"}).columns.reading.encoding == "GBK"
