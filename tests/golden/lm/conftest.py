import numpy as np
import pytest
import torch

WORDS = [f"w{n}" for n in range(12)]


def text(tokens, seed):
    """Lines of words in which a word is mostly followed by the one or two after it."""
    generator = np.random.default_rng(seed)
    words = np.cumsum(generator.choice([1, 2, 5], tokens, p=[0.6, 0.3, 0.1])) % len(WORDS)
    lines = np.split(words, range(9, tokens, 9))
    return "".join(" " + " ".join(WORDS[word] for word in line) + " \n" for line in lines)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)  # networks here are too small for more


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder of corpora with one, ``tiny``: 13 words, 480, 200 and 150 tokens and the ends of their lines."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "tiny").mkdir()
    for split, tokens, seed in (("train", 480, 0), ("valid", 200, 1), ("test", 150, 2)):
        (folder / "tiny" / f"{split}.txt").write_text(text(tokens, seed))
    return folder
