"""What long runs read: models, texts, the activity of sources, chunks, and the core for them."""

import hashlib

import numpy as np
import pytest

from golden.lm.corpus import columns, load_corpus
from golden.lm.floating import FloatLanguageModel, random_model
from golden.lm.fold import calibrate, quantize_model
from golden.lm.integer import IntegerModel
from golden.network import Model, save
from sim.long_run import network_digest, plan
from sim.text import measure_activity
from sim.text_core import configure
from tests.sim.text_models import LAYERS, WORDS, read


def test_text_in_sequences_and_activity(small):
    text = read(small, tokens=101, sequences=4, split="valid")
    assert (text.unit, text.corpus, text.split) == ("word", "small", "valid")
    whole = np.concatenate([[small.corpus.end], small.corpus.valid])
    for s in range(4):
        assert text.inputs[:, s].tolist() == whole[25 * s : 25 * s + 25].tolist()
        assert text.targets[:, s].tolist() == whole[25 * s + 1 : 25 * s + 26].tolist()
    valid, _ = columns(small.corpus.valid, 1, small.corpus.end)
    model = IntegerModel(small.network)
    trace = model.run(valid)
    parts = (model.inputs(valid), *trace.y)
    expected = np.concatenate([(part != 0).mean(axis=(0, 1)) for part in parts])
    assert text.activity == pytest.approx(expected)
    assert measure_activity(small.network, valid[:3]).sum() == pytest.approx(
        2 + sum((y[:3] != 0).sum() for y in trace.y) / 3
    )


def test_trained_weights_are_converted_as_by_the_other_programs(small, tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed (extra train)")
    from golden.lm.convert import from_state
    from golden.lm.convert import main as convert
    from golden.lm.model import LanguageModel
    from golden.lm.settings import Settings
    from golden.lm.weights import save_weights

    torch.manual_seed(0)
    model = LanguageModel(WORDS, Settings(embedding=LAYERS[-1], layers=LAYERS))
    paths = save_weights(model.state_dict(), tmp_path / "lm", {})
    text = read(small, *paths, row_bits=8)
    halves = {name: value.half().float() if value.dim() > 1 else value for name, value in model.state_dict().items()}
    wanted = from_state(halves)
    powers = calibrate(wanted, small.corpus.valid)
    assert network_digest(text.network) == network_digest(quantize_model(wanted, powers, weight_bits=8, row_bits=8))
    given = ["--corpus", "small", "--data", str(small.folder), "--out", str(tmp_path / "integers.safetensors")]
    assert convert(["--weights", *map(str, paths), "--row-bits", "8", *given]) == 0
    again = read(small, tmp_path / "integers.safetensors")
    assert network_digest(again.network) == network_digest(text.network)
    assert network_digest(again.network) != network_digest(small.network)


def test_characters_are_known_by_the_model(small, tmp_path):
    corpus = load_corpus("small", small.folder, characters=True)
    count = len(corpus.words)
    model = random_model(count, count, LAYERS, 0.4)
    model = FloatLanguageModel(np.eye(count, dtype=np.float32), model.layers, model.readout)
    network = quantize_model(model, calibrate(model, corpus.valid), weight_bits=8, row_bits=8)
    for characters, fits in (("".join(corpus.words), True), ("".join(corpus.words)[::-1], False)):
        digest = hashlib.sha256("\n".join(characters).encode()).hexdigest()
        told = {"characters": characters, "vocabulary_sha256": digest}
        save(Model("characters", fixed=network, provenance=told), tmp_path / "characters.safetensors")
        if fits:
            text = read(small, tmp_path / "characters.safetensors")
            assert text.unit == "character" and text.inputs.size == len(corpus.test)
        else:
            with pytest.raises(ValueError, match="has other characters than corpus small, or in another order"):
                read(small, tmp_path / "characters.safetensors")


def test_chunks_begin_where_the_oracle_is(small):
    text = read(small, tokens=40, sequences=2)
    model = IntegerModel(small.network)
    chunks = list(plan(text, 6))
    assert [(chunk.number, chunk.sequence) for chunk in chunks] == [(n, s) for n in range(4) for s in range(2)]
    for s in range(2):
        own = [chunk for chunk in chunks if chunk.sequence == s]
        assert np.concatenate([chunk.tokens[chunk.before :] for chunk in own]).tolist() == text.inputs[:, s].tolist()
        assert np.concatenate([chunk.targets[chunk.before :] for chunk in own]).tolist() == text.targets[:, s].tolist()
        assert own[0].h is None and own[0].before == 0
        for chunk in own[1:]:
            state = model.run(text.inputs[: chunk.first - 1, s : s + 1]).state
            assert chunk.h.tolist() == np.concatenate(state.h, axis=1)[0].tolist()
            assert chunk.y.tolist() == np.concatenate(state.y, axis=1)[0].tolist()
            assert chunk.tokens[0] == text.inputs[chunk.first - 1, s]


@pytest.mark.parametrize(("lists", "streamed"), [("auto", False), ("chip", False), ("memory", True)])
def test_where_lists_are(small, lists, streamed, monkeypatch):
    activity = np.ones(small.network.source_count)
    config = configure(small.network, activity, lanes=4, cell_units=2, lists=lists)
    assert config.streamed == streamed
    assert config.acc_bits >= IntegerModel(small.network).accumulator_bits > config.acc_bits - 4
    assert config.value_bits == max(small.network.input_bits, small.network.y_bits + 1)
    monkeypatch.setattr("sim.text_core.ENTRIES_ON_CHIP", 1000)
    again = configure(small.network, activity, lanes=4, cell_units=2, lists=lists)
    assert again.streamed == (lists != "chip")
