"""A LiteX SoC around a core whose lists are in its LiteDRAM memory: ``docs/litex.md``.

Needs the packages of the extra ``litex``; nothing else of :mod:`hw` imports this one.
"""
