import json
import math

import pytest

from golden.experiments import __main__ as command
from golden.experiments import ablations, characters, last_layer, others
from golden.experiments.levels import LEVELS
from golden.experiments.paper import PUBLISHED
from golden.page import read_section

ROWS = {
    "baselines": 2, "pruning": 1 + len(LEVELS), "multiplicativity": 1 + len(LEVELS), "energy": 4,
    "paper": len(PUBLISHED) + 3, "decay": 6, "digits-decay": 5, "embedding": 4, "ablations": 4, "last-layer": 3,
    "others": 4, "characters": 7,
}  # fmt: skip


@pytest.fixture(autouse=True)
def fewer_networks(monkeypatch):
    kept = ("neither", "hard reset", "surrogate gaussian")
    monkeypatch.setattr(ablations, "ABLATIONS", {name: ablations.ABLATIONS[name] for name in kept})
    monkeypatch.setattr(characters, "RATES", (0.002, 0.008))
    monkeypatch.setattr(last_layer, "PENALTIES", (0.0, 1.0))
    monkeypatch.setattr(last_layer, "SHARES", (0.5,))
    names = ("EGRU", "LSTM, |y| > 0", "LSTM, |y| > 0.1", "transformer, |x| > 0.3")
    monkeypatch.setattr(others, "NETWORKS", {name: others.NETWORKS[name] for name in names})


@pytest.fixture
def done(experiment, out):
    """Run an experiment and return what it wrote."""

    def run(name, seeds):
        epochs = ("--epochs", "2") if name == "digits-decay" else ()  # that of pruning, then one
        assert experiment(name, "--seeds", str(seeds), *epochs) == 0
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        return json.loads((out / f"{name}.json").read_text())

    return run


@pytest.mark.parametrize("name", ROWS)
def test_writes_rows_plot_and_table(name, done, capsys):
    found, texts = done(name, 1), ("steps", None)
    assert (
        len(found["rows"]) == ROWS[name]
        and found["scale"] == "tiny"
        and found.get("corpus") == texts[name == "digits-decay"]
    )
    assert "test" in capsys.readouterr().out
    key = "accuracy" if name == "digits-decay" else "perplexity"
    values = [row[key] for row in found["rows"] if key in row]
    assert all(math.isfinite(value["mean"] if isinstance(value, dict) else value) for value in values)


def test_puts_the_table_into_the_page(experiment, out, tmp_path, monkeypatch):
    page = tmp_path / "experiments.md"
    page.write_text("before\n<!-- golden.experiments energy -->\n<!-- /golden.experiments energy -->\nafter\n")
    monkeypatch.setattr(command, "PAGE", page)
    assert experiment("energy", "--seeds", "1", "--write") == 0
    text = page.read_text()
    assert "`python -m golden.experiments " in text and text.endswith("after\n")
    assert "| network | MACs |" in text and "| EGRU, 85% pruned, folded | " in text and "An ESTIMATE" in text
    for suffix in ("json", "png"):
        copy = tmp_path / "experiments" / f"energy.{suffix}"
        assert copy.stat().st_size == (out / f"energy.{suffix}").stat().st_size


def test_the_page_has_a_place_for_every_table():
    for name in command.NAMES:
        assert read_section(command.PAGE, f"golden.experiments {name}")


def test_says_that_the_page_has_no_place_for_the_table(experiment, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "PAGE", tmp_path / "experiments.md")
    (tmp_path / "experiments.md").write_text("nothing")
    assert experiment("energy", "--seeds", "1", "--write") == 2
    assert "has not once <!-- golden.experiments energy -->" in capsys.readouterr().err


def test_figures_of_several_seeds_have_a_deviation(done, out):
    rows = done("pruning", 2)["rows"]
    assert all(len(row["perplexity"]["values"]) == 2 and row["perplexity"]["deviation"] > 0 for row in rows)
    assert [row["sparsity"]["mean"] for row in rows] == pytest.approx([0, *LEVELS], abs=1e-3)
    macs = [row["macs"]["mean"] for row in rows]
    assert macs == sorted(macs, reverse=True) and macs[0] > 10 * macs[-1]
    assert rows[0]["macs_folded"]["mean"] == macs[0] - 32 * 3 * 48
    assert {path.name for path in (out / "runs").glob("egru-90-*")} == {"egru-90-s0", "egru-90-s1"}


def test_counted_work_is_that_of_the_logs(done):
    logged = {row["level"]: row for row in done("pruning", 1)["rows"]}
    for row in done("multiplicativity", 1)["rows"]:
        assert row["counted"]["mean"] == pytest.approx(logged[row["level"]]["macs"]["mean"], rel=0.02)
        assert row["dense"]["mean"] == 3 * 48 * (32 + 48) + 3 * 32 * (48 + 32)
        assert row["weight_density"]["mean"] == pytest.approx(1 - row["level"], abs=2e-3)
        assert row["macs_p50"]["mean"] <= row["macs_p99"]["mean"] <= row["macs_worst"]["mean"]
        assert sum(group["counted"]["mean"] for group in row["groups"][:-1]) == pytest.approx(row["counted"]["mean"])
        assert row["deviation"]["mean"] == pytest.approx(row["counted"]["mean"] / row["product"]["mean"] - 1)
    assert row["groups"][0]["sources"] == "embedding" and row["groups"][0]["activity"]["mean"] == 1


def test_parts_of_the_energy_make_the_whole(done):
    rows = {row["network"]: row for row in done("energy", 1)["rows"]}
    for row in rows.values():
        parts = (row[f"on_chip_{part}"]["mean"] for part in ("macs", "sums", "units", "weights", "rows"))
        assert sum(parts) == pytest.approx(row["on_chip_all"]["mean"])
        assert row["off_chip_all"]["mean"] > row["on_chip_all"]["mean"]
    assert rows["EGRU, 85% pruned"]["on_chip_all"]["mean"] < 0.6 * rows["EGRU, dense"]["on_chip_all"]["mean"]
    assert rows["EGRU, 85% pruned, folded"]["on_chip_macs"]["mean"] < rows["EGRU, 85% pruned"]["on_chip_macs"]["mean"]


def test_thresholds_silence_an_lstm_and_a_transformer(done):
    rows = {row["network"]: row for row in done("others", 1)["rows"]}
    assert rows["LSTM, |y| > 0"]["activity"]["mean"] == pytest.approx(1)
    assert rows["LSTM, |y| > 0.1"]["activity"]["mean"] < 0.9
    assert rows["transformer, |x| > 0.3"]["activity"]["mean"] < 0.9
    assert [group["sources"] for group in rows["transformer, |x| > 0.3"]["groups"]][:4] == [
        f"layer 0, {name}" for name in ("attend", "project", "expand", "contract")
    ]


def test_reads_fewer_units_and_pays_less_for_the_decoder(done):
    whole, _, half = done("last-layer", 1)["rows"]
    decoder = [row["macs_with_decoder"]["mean"] - row["macs"]["mean"] for row in (whole, half)]
    assert half["change"] == {"decoded": 16, "embedding": 16} and decoder[1] < 0.8 * decoder[0]


def test_dense_networks_of_characters_have_the_same_weights_and_budgets(done, out):
    pruned, *dense = done("characters", 1)["rows"]
    assert pruned["sparsity"]["mean"] > 0.5 and [row["sparsity"]["mean"] for row in dense] == [0] * 6
    assert [row["network"].partition(",")[0] for row in dense] == ["GRU"] * 3 + ["LSTM"] * 3
    for row in (dense.pop(5), dense.pop(2)):
        assert row["network"].endswith("as many MACs and tokens") and row["epochs"] == pruned["epochs"]
        macs = [each["macs_with_decoder"]["mean"] for each in (row, pruned)]
        assert macs[0] == pytest.approx(macs[1], rel=0.3) and row["weights"] < pruned["weights"]
    for row in dense:
        assert row["weights"] == pytest.approx(pruned["weights"], rel=0.1) and row["activity"]["mean"] == 1
    for tokens, seconds in (dense[:2], dense[2:]):
        assert tokens["epochs"] == pruned["epochs"]
        wanted = pruned["seconds"] / tokens["seconds"] * tokens["epochs"]
        assert seconds["epochs"] == max(1, round(wanted))
    for row in (dense[0], dense[2]):
        cell = row["network"].partition(",")[0].lower()
        tried = {
            rate: json.loads(
                (out / "runs" / f"characters-{cell}-rate-{rate:g}-s0" / "lm.jsonl").read_text().splitlines()[-2]
            )
            for rate in (0.002, 0.008)
        }
        assert row["learning_rate"] == min(tried, key=lambda rate: tried[rate]["valid_loss"])
