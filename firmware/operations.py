"""What requests ask for and replies answer, as words. Format: docs/host-link.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hw.bus.operations import Operation, Outcome

COUNT_MAX = 255
WORD_MASK = 0xFFFFFFFF
LAST, USER = 1 << 30, 1 << 31

Beat = tuple[int, int]  #: index and value of an event, as in TDATA: unsigned index, signed value


@dataclass(frozen=True)
class Write:
    """Write words to one register, one after the other."""

    address: int
    data: Sequence[int]
    reply_words = 0  #: in the reply, for each of ``count``

    @property
    def count(self) -> int:
        return len(self.data)

    def words(self) -> list[int]:
        return [_operation(Operation.WRITE, self.count, self.address), *self.data]


@dataclass(frozen=True)
class Read:
    """Read consecutive registers."""

    address: int
    count: int = 1
    reply_words = 1

    def words(self) -> list[int]:
        return [_operation(Operation.READ, self.count, self.address)]


@dataclass(frozen=True)
class Send:
    """Send beats; the last one may end a step (``last``) and with it a sequence (``user``)."""

    beats: Sequence[Beat]
    last: bool = False
    user: bool = False
    reply_words = 0

    @property
    def count(self) -> int:
        return len(self.beats)

    def words(self) -> list[int]:
        flags = LAST * self.last | USER * self.user
        return [
            _operation(Operation.SEND, self.count) | flags,
            *(word & WORD_MASK for beat in self.beats for word in beat),
        ]


@dataclass(frozen=True)
class Take:
    """Take beats up to the end of a step, at most ``count``."""

    count: int = COUNT_MAX
    reply_words = 2

    def words(self) -> list[int]:
        return [_operation(Operation.TAKE, self.count)]


def _operation(operation: Operation, count: int, address: int = 0) -> int:
    if not 0 <= count <= COUNT_MAX:
        raise ValueError(f"an operation on {count} words or beats; it must be from 0 to {COUNT_MAX}")
    return operation.value | count << 8 | address << 16


@dataclass(frozen=True)
class Result:
    """How an operation ended.

    outcome : why it ended
    left : words or beats that were not written, read, sent or taken
    last, user : of the last beat that was taken
    data : the words read; of beats taken index and value in turn
    """

    outcome: Outcome
    left: int
    last: bool = False
    user: bool = False
    data: tuple[int, ...] = ()

    @property
    def beats(self) -> list[Beat]:
        """The beats that were taken."""
        return [(index, signed(value)) for index, value in zip(self.data[::2], self.data[1::2], strict=True)]

    def words(self) -> list[int]:
        """Return the result as words."""
        return [self.outcome.value | self.left << 8 | LAST * self.last | USER * self.user, *self.data]


Request = Sequence[Write | Read | Send | Take]


def decode_results(operations: Request, words: Sequence[int]) -> list[Result]:
    """Return the results of the operations that were begun, in their order.

    Raises
    ------
    ValueError
        If the words are no results of these operations.
    """
    results, at = [], 0
    for operation in operations:
        if at == len(words):
            break
        word = words[at]
        left = word >> 8 & COUNT_MAX
        size = operation.reply_words * (operation.count - left)
        data = tuple(words[at + 1 : at + 1 + size])
        results.append(Result(Outcome(word & 0xFF), left, bool(word & LAST), bool(word & USER), data))
        at += 1 + size
    if at != len(words):
        raise ValueError(f"a reply of {len(words)} words, its results have {at}")
    return results


def signed(word: int) -> int:
    """Return the value of a word in two's complement."""
    return word - (1 << 32) if word >> 31 else word
