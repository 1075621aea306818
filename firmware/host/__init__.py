"""The host's driver of a core on a board or in simulation: ``open_uart``, ``open_overlay``, ``open_simulated``.

Guide: docs/host.md; from the shell: ``python -m firmware.host --help``.
"""
