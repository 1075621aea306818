"""The tutorial runs as it is printed."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_tutorial(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch", reason="the tutorial trains, which needs the extra `train`")
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "tutorial.md").read_text(), re.M | re.S)
    assert len(blocks) == 5
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(blocks), "docs/tutorial.md", "exec"), {"__name__": "tutorial"})
    printed = capsys.readouterr().out
    accuracy = {name: float(value) for name, value in re.findall(r"(integer|hardware):? ([\d.]+)%", printed)}
    assert accuracy["integer"] > 85 and accuracy["hardware"] > 85, printed
    assert (tmp_path / "build/tutorial/hardware/egret.v").stat().st_size > 100_000
