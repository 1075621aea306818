"""Where Verilator and what it calls are found."""

import os
import shutil
import sys

from sim.verilate import verilator_command


def test_tools_of_an_environment_that_is_not_activated(tmp_path, monkeypatch):
    """Verilator's makefiles call ``python``; a system may have ``python3`` only."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (command,), environment = verilator_command()
    assert os.path.samefile(shutil.which("verilator", path=environment["PATH"]), command)
    found = shutil.which("python", path=environment["PATH"])
    assert found is not None and os.path.dirname(found) == os.path.dirname(sys.executable)
    # Asked for again from inside, the path does not grow.
    monkeypatch.setenv("PATH", environment["PATH"])
    assert verilator_command()[1]["PATH"] == environment["PATH"]
