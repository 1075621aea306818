"""The bundled language models: what their READMEs say of them."""

import json
from pathlib import Path

import numpy as np
import pytest

from golden.lm.integer import IntegerModel
from golden.lm.weights import load_settings, load_weights
from golden.network import load
from hw.build_folder import configure
from hw.fit import estimate
from hw.vendor.device import DEVICES

MODELS = Path(__file__).parents[2] / "models"
ECP5_ENTRIES = 130_000  #: weights and directories of both parts of every list that 208 block RAMs hold


def matrices(network):
    return [kernel for layer in network.layers for kernel in (layer.kernel, layer.recurrent_kernel)]


def test_characters_fit_on_chip_with_85_percent_of_their_weights_zero():
    network = load(MODELS / "ptb-char" / "ptb-char.safetensors").fixed
    kernels = [*matrices(network), network.readout.kernel]
    zeros = sum(int((kernel == 0).sum()) for kernel in kernels)
    assert zeros / sum(kernel.size for kernel in kernels) >= 0.8499
    integer = IntegerModel(network)
    assert (integer.words, integer.lists, network.weight_bits) == (50, 1, 8)
    build = configure(MODELS / "ptb-char" / "ptb-char.safetensors", 16, split_banks=False)
    found = estimate(build.config, DEVICES["lfe5u-85f"])
    assert found.fits and build.config.lanes == 16
    image = build.compiled.image
    assert int(image.count.sum()) + build.config.lanes * network.source_count <= ECP5_ENTRIES


def test_words_have_85_percent_of_their_weights_zero():
    path = MODELS / "ptb-small" / "lm-1.safetensors"
    weights = load_weights([path])
    kernels = [value.numpy() for name, value in weights.items() if name.endswith("kernel")]
    assert sorted(kernel.shape for kernel in kernels) == [(256, 768), (256, 1536), (512, 768), (512, 1536)]
    assert 1 - sum(np.count_nonzero(kernel) for kernel in kernels) / sum(kernel.size for kernel in kernels) >= 0.8499
    assert weights["embedding.weight"].shape == (10_000, 256) and load_settings(path)["layers"] == [512, 256]


@pytest.mark.parametrize(("name", "aim"), [("ptb-char", 1.60), ("ptb-small", 105.0)])
def test_readmes_say_what_was_evaluated(name, aim):
    figures = json.loads((MODELS / name / "evaluate.json").read_text())
    text = (MODELS / name / "README.md").read_text() + (MODELS.parent / "docs" / "results.md").read_text()
    integer = figures["integer"]
    reached = integer["bits"] if name == "ptb-char" else integer["perplexity"]
    assert reached <= aim
    assert f"{integer['bits']:.4f}" in text if name == "ptb-char" else f"{integer['perplexity']:.2f}" in text
    folded, whole = ("recurrent layers", "and decoder") if name == "ptb-char" else ("embedding folded", "and decoder")
    for kind in (folded, whole):
        assert f"{figures['macs'][kind]['mean'] / 1e6:.3f} M" in text
        assert figures["macs"][kind]["times_fewer"] == figures["macs"][kind]["dense"] / figures["macs"][kind]["mean"]
    assert figures["command"].startswith("python -m golden.lm.evaluate ") and figures["corpus"] == "ptb"
    assert figures.get("words", figures.get("characters")) == {"ptb-small": 82_430, "ptb-char": 442_423}[name]


def test_results_say_what_the_dense_twin_was_evaluated_to():
    figures = json.loads((MODELS / "ptb-small" / "dense-evaluate.json").read_text())
    text = (MODELS.parent / "docs" / "results.md").read_text()
    (row,) = [line for line in text.splitlines() if line.startswith("| its dense twin, silent units passed over |")]
    for value in (f"{figures['float']['perplexity']:.2f}", f"{figures['integer']['perplexity']:.2f}"):
        assert value in row
    for kind in ("recurrent layers", "embedding folded", "and decoder"):
        assert f"{figures['macs'][kind]['mean'] / 1e6:.3f} M" in row
