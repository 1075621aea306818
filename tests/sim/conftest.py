from types import SimpleNamespace

import pytest

from tests.sim.text_models import write_corpus, write_model


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A corpus of 200 words, a model of it, and the arguments that read them."""
    folder = tmp_path_factory.mktemp("small")
    corpus, model = write_corpus(folder), folder / "small.safetensors"
    network = write_model(model, corpus)
    given = ["--model", str(model), "--input", "text", "--corpus", "small", "--data", str(folder)]
    return SimpleNamespace(corpus=corpus, network=network, model=model, folder=folder, given=given)
