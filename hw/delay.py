"""Side data that keeps pace with a pipeline."""

from amaranth import Module, Signal


def delay(m: Module, value, cycles: int, name: str, *, init=None):
    """Return ``value`` as it was ``cycles`` ago, through registers called ``name_0``, ``name_1``...

    Registers have no reset unless ``init`` is given: data needs none, valid bits do.
    """
    for stage in range(cycles):
        reset = {"reset_less": True} if init is None else {"init": init}
        register = Signal(value.shape(), name=f"{name}_{stage}", **reset)
        m.d.sync += register.eq(value)
        value = register
    return value
