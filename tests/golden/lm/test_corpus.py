import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from golden.lm.corpus import SIZES, CorpusError, columns, load_corpus

REPOSITORY = Path(__file__).parents[3]
FOLDERS = (REPOSITORY / "data", REPOSITORY.parent / "shared" / "data")  #: where texts may lie


@pytest.mark.parametrize(("name", "characters"), SIZES)
def test_known_corpora_are_as_published(name, characters):
    data = next((folder for folder in FOLDERS if (folder / name).is_dir()), None)
    if data is None:
        pytest.skip(f"{name}, which is not the project's to give, is not in data/, nor in ../shared/data")
    corpus = load_corpus(name, data, characters=characters)
    assert corpus.words[corpus.end] == ("\n" if characters else "<eos>")
    assert all(len(word) == 1 for word in corpus.words) if characters else "<unk>" in corpus.words
    assert (corpus.train[-1], corpus.test[-1]) == (corpus.end, corpus.end)


def test_tokens_are_the_words(data):
    corpus = load_corpus("tiny", data)
    for split, tokens in (("train", 480 + 54), ("valid", 200 + 23), ("test", 150 + 17)):
        words = (data / "tiny" / f"{split}.txt").read_text().replace("\n", "<eos> ").split()
        assert [corpus.words[token] for token in getattr(corpus, split)] == words
        assert len(words) == tokens
    assert len(corpus.words) == 13


def test_empty_lines_end_too(tmp_path):
    (tmp_path / "c").mkdir()
    for split in ("train", "valid", "test"):
        (tmp_path / "c" / f"{split}.txt").write_text(" \n a b \n\n")
    corpus = load_corpus("c", tmp_path)
    assert [corpus.words[token] for token in corpus.train] == ["<eos>", "a", "b", "<eos>", "<eos>"]


def test_tokens_are_the_characters_of_stripped_lines(tmp_path):
    (tmp_path / "c").mkdir()
    for split, text in (("train", "  ab c \n\n b\n"), ("valid", "c"), ("test", "\n d\n")):
        (tmp_path / "c" / f"{split}.txt").write_text(text)
    corpus = load_corpus("c", tmp_path, characters=True)
    words = ["".join(corpus.words[token] for token in getattr(corpus, split)) for split in ("train", "valid", "test")]
    assert words == ["ab c\n\nb\n", "c\n", "\nd\n"]
    assert (corpus.words[corpus.end], corpus.unit, len(corpus.words)) == ("\n", "character", 6)


def test_lines_end_where_lines_end(tmp_path):
    (tmp_path / "c").mkdir()
    for split in ("train", "valid", "test"):
        (tmp_path / "c" / f"{split}.txt").write_bytes("a\u2028b\x85c\x0cd\r\ne".encode())
    corpus = load_corpus("c", tmp_path)
    assert [corpus.words[token] for token in corpus.train] == ["a", "b", "c", "d", "<eos>", "e", "<eos>"]


def test_checksum_tells_texts_apart(tmp_path):
    checksums = set()
    for text in ("a b\n", "a c\n", "a b b\n"):
        (tmp_path / "c").mkdir(exist_ok=True)
        for split in ("train", "valid", "test"):
            (tmp_path / "c" / f"{split}.txt").write_text(text)
        checksums.add(load_corpus("c", tmp_path).checksum)
    assert len(checksums) == 3 and load_corpus("c", tmp_path).checksum in checksums


def test_columns_cover_the_text_and_predict_it():
    tokens = np.arange(10, 33)
    inputs, targets = columns(tokens, 3, end=99)
    assert inputs.shape == targets.shape == (7, 3)
    assert np.array_equal(targets.T.ravel(), tokens[:21])
    assert inputs[0].tolist() == [99, 16, 23] and np.array_equal(inputs[1:], targets[:-1])
    inputs, targets = columns(tokens, 1, end=99)
    assert np.array_equal(targets[:, 0], tokens)
    with pytest.raises(CorpusError, match="^a text of 23 tokens cannot be cut into 24 runs; choose a smaller batch$"):
        columns(tokens, 24, end=99)


def test_needs_no_torch():
    code = "import sys, golden.lm.corpus; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0


def test_bad_texts_are_refused(tmp_path):
    def message():
        with pytest.raises(CorpusError) as error:
            load_corpus("ptb", tmp_path)
        return str(error.value)

    folder = tmp_path / "ptb"
    missing = "(No such file or directory); docs/training.md says where to get it"
    assert message() == f"cannot read {folder / 'train.txt'} {missing}"
    folder.mkdir()
    (folder / "train.txt").write_text("")
    assert message() == f"{folder / 'train.txt'} is empty; get it again"
    (folder / "train.txt").write_bytes(b"\xff\xfe\x00")
    assert message() == f"{folder / 'train.txt'} is not UTF-8 text; get it again"
    for split in ("train", "valid", "test"):
        (folder / f"{split}.txt").write_text(" ".join(f"w{n}" for n in range(9999)) + "\n")
    assert message() == f"{folder} has 10,000 tokens in train.txt instead of 929,589; it is incomplete, get it again"
    with pytest.raises(CorpusError) as error:
        load_corpus("ptb", tmp_path, characters=True)
    wrong = "has 13 different characters instead of 50; it is incomplete, get it again"
    assert str(error.value) == f"{folder} {wrong}"
    (folder / "test.txt").write_text("more\n")
    assert message() == f"{folder} has 10,001 words instead of 10,000; it is incomplete, get it again"
