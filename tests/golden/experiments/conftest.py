import numpy as np
import pytest
import torch

from golden.experiments.__main__ import main


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)  # networks here are too small for more


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder of corpora with one, ``steps``: 16 words, each mostly followed by the one or two after it."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "steps").mkdir()
    for seed, (split, tokens) in enumerate((("train", 400), ("valid", 150), ("test", 150))):
        generator = np.random.default_rng(seed)
        words = np.cumsum(generator.choice([1, 2, 5], tokens, p=[0.6, 0.3, 0.1])) % 15
        lines = (" ".join(f"w{word}" for word in line) for line in np.split(words, range(9, tokens, 9)))
        (folder / "steps" / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def out(tmp_path_factory):
    """Where all experiments write, so that they share runs."""
    return tmp_path_factory.mktemp("experiments")


@pytest.fixture(scope="session")
def experiment(data, out):
    """Run an experiment of one short epoch; return its exit status."""

    def run(name, *more, out=out):
        return main([name, *f"--scale tiny --corpus steps --data {data} --out {out} --epochs 1".split(), *more])

    return run
