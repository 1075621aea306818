"""The words that the requests and replies of the host link are made of. Tables: docs/host-link.md."""

from amaranth import unsigned
from amaranth.lib import data, enum

from hw.bus.registers import ADDRESS_BITS, registers

STATUS = next(register for register in registers() if register.name == "status")
STATUS_BITS = 8  #: that hold all of its fields


class Operation(enum.Enum, shape=unsigned(3)):
    """What an operation does with its count of words or beats."""

    NONE = 0  #: none of these
    WRITE = 1  #: write words to one register, one after the other
    READ = 2  #: read consecutive registers
    SEND = 3  #: send beats
    TAKE = 4  #: take beats, up to the end of a step


class Outcome(enum.Enum, shape=unsigned(3)):
    """How an operation ended; after anything but OKAY the operations that follow are left out."""

    OKAY = 0
    REFUSED = 1  #: the register answered SLVERR
    TIMEOUT = 2  #: a beat could not be sent, or none came, for as long as the link waits
    FULL = 3  #: the reply has no room for more
    MALFORMED = 4  #: no such operation, or the request ends before its data


class OperationWord(data.StructLayout):
    """The first word of an operation; ``last`` and ``user`` go with the last beat of a SEND."""

    def __init__(self):
        super().__init__({
            "operation": Operation, "unknown": 5, "count": 8, "address": ADDRESS_BITS, "reserved": 2,
            "last": 1, "user": 1,
        })  # fmt: skip


class ResultWord(data.StructLayout):
    """The first word of a result: words or beats ``left`` undone; ``last`` and ``user`` of the last beat of a TAKE."""

    def __init__(self):
        super().__init__({"outcome": 8, "left": 8, "reserved": 14, "last": 1, "user": 1})
