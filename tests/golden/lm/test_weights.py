import pytest
import torch

from golden.checkpoint import TrainingError
from golden.lm import weights as module
from golden.lm.weights import load_settings, load_weights, save_weights


def some_weights():
    torch.manual_seed(0)
    sparse = torch.randn(37, 53) * (torch.rand(37, 53) < 0.15)
    weights = {"layers.0.kernel": sparse, "bias": torch.randn(11), "zero": torch.zeros(4), "one": torch.tensor(2.5)}
    return {name: tensor.half().float() if tensor.dim() > 1 else tensor for name, tensor in weights.items()}


@pytest.mark.parametrize(("piece", "size", "files"), [(1 << 20, 16 << 20, 1), (100, 250, 4)])
def test_weights_come_back(piece, size, files, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PIECE", piece)
    monkeypatch.setattr(module, "FILE_BYTES", size)
    monkeypatch.setattr(module, "HEADER_BYTES", 0)
    (tmp_path / f"w-{files + 1}.safetensors").touch()
    paths = save_weights(some_weights(), tmp_path / "w")
    assert len(paths) == files and sorted(tmp_path.iterdir()) == paths
    loaded = load_weights(paths)
    assert list(loaded) == list(some_weights())
    for name, tensor in some_weights().items():
        assert torch.equal(loaded[name], tensor) and loaded[name].dtype == torch.float32


def test_settings_come_back(tmp_path):
    (path,) = save_weights(some_weights(), tmp_path / "w", {"layers": (3, 4), "cell": "egru"})
    assert load_settings(path) == {"layers": [3, 4], "cell": "egru"}
    assert load_settings(*save_weights(some_weights(), tmp_path / "w")) == {}


def test_zeros_take_a_bit(tmp_path):
    weight = torch.randn(1000, 1000) * (torch.rand(1000, 1000) < 0.15)
    (path,) = save_weights({"w": weight}, tmp_path / "w")
    assert path.stat().st_size < 1_000_000 / 8 + 2 * 152_000 + 1000


def test_weights_that_are_not_whole_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PIECE", 500)
    monkeypatch.setattr(module, "FILE_BYTES", 500)
    monkeypatch.setattr(module, "HEADER_BYTES", 0)
    paths = save_weights(some_weights(), tmp_path / "w")
    with pytest.raises(
        TrainingError, match="^layers.0.kernel is not whole in .*w-1.safetensors; give all files of the "
    ):
        load_weights(paths[:1])
    (tmp_path / "cut.safetensors").write_bytes(paths[0].read_bytes()[:300])
    (tmp_path / "text.safetensors").write_text("weights")
    for name in ("cut", "text", "none"):
        path = tmp_path / f"{name}.safetensors"
        with pytest.raises(
            TrainingError, match=f"^cannot read weights from {path} \\(.*\\); give files that training wr"
        ):
            load_weights([path])
