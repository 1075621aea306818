import math
from dataclasses import replace

import pytest
import torch

from golden import fake_quantize
from golden.checkpoint import TrainingError
from golden.lm.corpus import load_corpus
from golden.lm.measure import measure
from golden.lm.model import LanguageModel
from golden.lm.settings import PRESETS, Settings, preset
from golden.lm.steps import default_steps
from golden.lm.trainer import GRID, DivergedError, Trainer, windows
from golden.prune import prunable, sparsity_of

TINY = Settings(
    embedding=8, layers=(10, 8), epochs=5, batch=4, bptt=9, learning_rate=0.03, sparsity=0.6, prune_from=0.2, seed=3
)
CPU = torch.device("cpu")


def a_trainer(data, settings=TINY, steps=None, **options):
    return Trainer(settings, load_corpus("tiny", data), CPU, steps or default_steps(CPU), **options)


def losses(records):
    return [(record["loss"], record["valid_loss"], record["sparsity"]) for record in records]


@pytest.fixture(scope="module")
def unbroken(data):
    trainer = a_trainer(data)
    for _ in range(TINY.epochs):
        trainer.epoch()
    return trainer


# The plan


def test_plan_prunes_along_the_cubic_and_anneals():
    sparsity, rate = zip(
        *Settings(epochs=100, sparsity=0.8, prune_from=0.1, prune_to=0.5, learning_rate=0.01, cosine_from=0.4).plan(),
        strict=True,
    )
    assert sparsity[:10] == (0,) * 10 and sparsity[50:] == (0.8,) * 50
    assert sparsity[10:50] == pytest.approx([0.8 * (1 - (1 - k / 41) ** 3) for k in range(1, 41)])
    assert rate[:41] == (0.01,) * 41 and list(rate[40:]) == sorted(rate[40:], reverse=True) and 0 < rate[-1] < 1e-4


def test_plan_goes_through_levels():
    plan = Settings(epochs=12, levels=(0.2, 0.4, 0.6), prune_from=0.25, prune_to=1).plan()
    assert [sparsity for sparsity, _ in plan] == [0] * 3 + [0.2] * 3 + [0.4] * 3 + [0.6] * 3


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("corpus", ["ptb", "wikitext-2", "other"])
@pytest.mark.parametrize("cell", ["egru", "gru", "lstm", "transformer"])
def test_presets_are_settings(name, corpus, cell):
    if (name, cell) == ("characters", "transformer"):
        with pytest.raises(TrainingError, match="^a transformer needs an embedding, which characters do not have"):
            Settings(**preset(name, corpus, cell))
        return
    settings = Settings(**preset(name, corpus, cell))
    assert settings.cell == cell
    if name == "flagship":
        assert (settings.embedding, *settings.layers) == (
            {"lstm": (400, 1150, 1150, 400), "transformer": (752, 1504, 1504)}.get(cell, (750, 1350, 1350, 750))
        )
    if name == "characters":  # as many weights in the other cells as 85 % leave in this one
        model = LanguageModel(50, settings)
        left = 0.15 if cell == "egru" else 1.0
        weights = left * sum(weight.numel() for weight in prunable(model).values())
        assert weights == pytest.approx(104_000, rel=5e-3)


@pytest.mark.parametrize(
    ("corpus", "recipe"),
    [
        ("ptb", {"epochs": 1000, "cosine_from": 0.7, "batch": 64, "learning_rate": 1.2e-3, "weight_decay": 0.10,
                 "dropout_embedding": 0.6}),
        ("wikitext-2", {"epochs": 800, "cosine_from": 0.5, "batch": 128, "learning_rate": 1e-3, "weight_decay": 0.12,
                        "dropout_embedding": 0.7}),
    ],
)  # fmt: skip
def test_flagship_is_the_published_recipe(corpus, recipe):
    """EvNN 0.2.0, benchmarks/lm."""
    settings = Settings(**preset("flagship", corpus, "egru"))
    common = {
        "bptt": 70, "vary_bptt": True, "momentum": 0.0, "clip": 0.1, "threshold_mean": 0.01, "train_threshold": False,
        "dampening": 3.6, "support": 3.6, "surrogate": "triangle", "dropconnect": 0.7, "dropout_word": 0.1,
        "dropout_layer": 0.25, "dropout_output": 0.5, "tied": True, "warmup": 0, "activity_penalty": 0.0,
    }  # fmt: skip
    assert {name: getattr(settings, name) for name in recipe | common} == recipe | common


def test_windows_vary_around_bptt_on_a_grid():
    settings = Settings(bptt=70, vary_bptt=True)
    lengths = windows(100_000, settings, 0)
    assert sum(lengths) == 100_000 and all(length % GRID == 0 for length in lengths[:-1])
    assert 66 < sum(lengths) / len(lengths) < 71
    assert 0.02 < sum(length < 55 for length in lengths) / len(lengths) < 0.09
    assert windows(100_000, settings, 0) == lengths != windows(100_000, settings, 1)
    assert windows(100, replace(settings, vary_bptt=False), 0) == [70, 30]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs is 0; it must be from 1 to 100000"),
        ({"levels": (0.5, 0.2)}, "levels are (0.5, 0.2); they must rise"),
        ({"cell": "rnn"}, "cell is rnn; it must be one of egru, gru, lstm, transformer"),
        ({"layers": ()}, "layers is empty; give the units of at least one layer"),
        (
            {"embedding": 9},
            "the last layer has 8 units and the embedding 9 features; a tied decoder needs as many, so ",
        ),
        ({"prune_from": 0.9}, "prune_from is 0.9; it must be at most prune_to, 0.6"),
        ({"prune_readout": True}, "a tied decoder cannot be pruned, as embeddings stay dense; choose --no-tied"),
        ({"learning_rate": math.nan}, "learning_rate is nan; it must be from 0 to 1"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(TrainingError) as error:
        replace(TINY, **change)
    assert str(error.value).startswith(message)


# A run


def test_learns_and_prunes(unbroken):
    history = unbroken.history
    assert history[-1]["valid_loss"] < math.log(13) - 0.5 < history[0]["loss"]
    assert [record["sparsity"] for record in history] == pytest.approx(
        [0, *(0.6 * (1 - (1 - k / 3) ** 3) for k in (1, 2, 3)), 0.6], abs=2e-3
    )
    assert set(unbroken.weights) == {f"layers.{n}.{kind}" for n in (0, 1) for kind in ("kernel", "recurrent_kernel")}
    assert unbroken.model.embedding.weight.count_nonzero() == 13 * 8


@pytest.mark.parametrize("stop", [1, 3])
def test_resumed_run_is_the_unbroken_one(stop, unbroken, data, tmp_path):
    first = a_trainer(data)
    for _ in range(stop):
        first.epoch()
    first.save(tmp_path / "c")
    second = a_trainer(data)
    torch.rand(7)
    second.load(tmp_path / "c")
    while len(second.history) < TINY.epochs:
        second.epoch()
    assert losses(second.history) == losses(unbroken.history)
    for name, value in unbroken.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], value)


@pytest.mark.parametrize(
    "change",
    [
        {"cell": "lstm"},
        {"cell": "gru"},
        {"cell": "transformer"},
        {"vary_bptt": True, "bptt": 25, "levels": (0.3, 0.6)},
        {"train_threshold": True, "activity_penalty": 0.1, "warmup": 20},
        {"characters": True, "tied": False, "prune_readout": True, "quantise_weights": 8, "quantise_from": 0.0},
    ],
)
def test_any_resumed_run_is_the_unbroken_one(change, data, tmp_path, monkeypatch):
    monkeypatch.setattr(fake_quantize, "REFRESHES", 1)  # formats of weights are kept over the stop
    settings = replace(TINY, epochs=3, **change)
    corpus = load_corpus("tiny", data, characters=settings.characters)
    steps = default_steps(CPU) if settings.cell == "egru" else "plain"
    first, second = (Trainer(settings, corpus, CPU, steps) for _ in range(2))
    first.epoch()
    first.save(tmp_path / "c")
    second.load(tmp_path / "c")
    for trainer in (first, second):
        while len(trainer.history) < settings.epochs:
            trainer.epoch()
    assert losses(second.history) == losses(first.history)
    for name, value in first.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], value), name


def test_state_goes_on_from_window_to_window(unbroken, data):
    """A learning rate of 0 makes the loss of an epoch that of one run of the model over the whole text."""
    off = {f"dropout_{where}": 0.0 for where in ("word", "embedding", "layer", "output")}
    settings = replace(TINY, learning_rate=0.0, dropconnect=0.0, **off)
    trainer = a_trainer(data, settings, init=unbroken.model.state_dict())
    loss = trainer.epoch()["loss"]
    inputs, targets = trainer.train_text
    with torch.no_grad():
        model = trainer.model.train()
        whole = model.loss(model(inputs).y, targets).item()
        cut = sum(
            model.loss(model(x).y, y).item() * len(x)
            for x, y in zip(inputs.split(TINY.bptt), targets.split(TINY.bptt), strict=True)
        )
    assert loss == pytest.approx(whole, rel=1e-5) and abs(loss - cut / len(inputs)) > 1e-3


def test_steps_agree_on_losses(unbroken, data):
    plain = a_trainer(data, steps="plain")
    for _ in range(2):
        plain.epoch()
    for have, want in zip(plain.history, unbroken.history, strict=False):
        assert have["loss"] == pytest.approx(want["loss"], rel=1e-3)


def test_the_test_reads_the_whole_text_in_one_run(unbroken):
    metrics = unbroken.test()
    assert metrics["valid"]["loss"] == pytest.approx(unbroken.history[-1]["valid_loss"], rel=0.1)
    assert metrics["valid"]["loss"] != unbroken.history[-1]["valid_loss"]
    with torch.no_grad():
        text = torch.from_numpy(unbroken.corpus.test)[:, None]
        inputs = torch.cat([torch.tensor([[unbroken.corpus.end]]), text[:-1]])
        model = unbroken.model.eval()
        want = model.loss(model(inputs).y, text).item()
    assert metrics["test"]["loss"] == pytest.approx(want, rel=1e-5)


def test_the_test_of_a_transformer_has_the_windows_of_training(data):
    trainer = a_trainer(data, replace(TINY, cell="transformer", layers=(16, 16)), steps="plain")
    measured = trainer.test()["test"]["loss"]
    want, got_by_one_window = (measure(trainer.model, *trainer._columns("test", 1), window) for window in (9, 1000))
    assert measured == pytest.approx(want["loss"], rel=1e-6)
    assert measured != pytest.approx(got_by_one_window["loss"], rel=1e-4)


def test_weights_to_start_from_stay_pruned(unbroken, data):
    init = unbroken.model.state_dict()
    trainer = a_trainer(data, replace(TINY, sparsity=0, warmup=10), init=init)
    trainer.epoch()
    assert sparsity_of(trainer.weights) == sparsity_of(unbroken.weights)
    assert trainer.history[0]["loss"] < unbroken.history[1]["loss"]
    with pytest.raises(
        TrainingError, match="^the weights to start from have layers.0.kernel of shape .8, 30. instead of"
    ):
        a_trainer(data, replace(TINY, layers=(11, 8)), init=init)
    with pytest.raises(TrainingError, match="^the weights to start from have more of shape .5. instead of None; give"):
        a_trainer(data, init={**init, "more": torch.zeros(5)})


def test_learning_rate_rises_over_the_first_steps(data):
    trainer = a_trainer(data, replace(TINY, warmup=19))
    trainer.epoch()
    assert trainer.step_count == 15
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0.03 * 15 / 20 * 7 / 9)  # the last window is short


def test_penalties_lower_what_they_penalise(data):
    outcome = {}
    for name in ("", "activity_penalty", "output_penalty", "slowness_penalty"):
        trainer = a_trainer(data, replace(TINY, sparsity=0, **({name: 5.0} if name else {})))
        for _ in range(3):
            trainer.epoch()
        y = trainer.model.eval()(trainer.texts["valid"][0]).outputs[-1]
        outcome[name] = (y > 0).float().mean(), y.square().mean(), y.diff(dim=0).square().mean()
    for n, name in enumerate(("activity_penalty", "output_penalty", "slowness_penalty")):
        assert outcome[name][n] < 0.7 * outcome[""][n], name


def test_a_decoder_of_its_own_is_pruned_if_wanted(data):
    settings = replace(TINY, tied=False, embedding=5, prune_from=0, prune_to=0)
    for prune, share in ((False, 0.0), (True, 0.3)):
        trainer = a_trainer(data, replace(settings, prune_readout=prune))
        trainer.epoch()
        zeros = float((trainer.model.readout.weight == 0).float().mean())
        assert zeros == 0 if share == 0 else zeros > share


# What goes wrong


def test_loss_that_is_not_finite_stops_with_a_sentence(data):
    trainer = a_trainer(data)
    with torch.no_grad():
        trainer.model.readout.bias[2] = math.nan
    with pytest.raises(TrainingError) as error:
        trainer.epoch()
    assert str(error.value) == "the loss became nan in epoch 0, step 0"
    assert trainer.history == []


def test_weights_spoilt_after_the_last_loss_stop_too(data, monkeypatch):
    trainer = a_trainer(data)
    update, last = trainer._update, len(windows(len(trainer.train_text[0]), TINY, 0))

    def spoil():
        update()
        if trainer.step_count == last:
            trainer.model.readout.bias.data[2] = math.nan

    monkeypatch.setattr(trainer, "_update", spoil)
    with pytest.raises(DivergedError, match="^the validation loss became nan after epoch 0$"):
        trainer.epoch()
    assert trainer.history == []


def test_other_or_damaged_checkpoints_are_refused(unbroken, data, tmp_path):
    path = tmp_path / "c"
    unbroken.save(path)
    with pytest.raises(TrainingError) as error:
        a_trainer(data, replace(TINY, bptt=8, seed=4)).load(path)
    assert (
        str(error.value) == f"checkpoint {path} was made with bptt 9, seed 3; give the same, or train without --resume"
    )
    corpus = replace(unbroken.corpus, test=unbroken.corpus.test[1:])
    with pytest.raises(TrainingError, match="^checkpoint .* was made with text of checksum .*; give the same, or"):
        Trainer(TINY, corpus, CPU, unbroken.steps).load(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(TrainingError, match=r"^checkpoint .* is damaged \(\w+\); train without --resume$"):
        a_trainer(data).load(path)
