"""What can go wrong, as the sticky code that the core keeps."""

from amaranth import unsigned
from amaranth.lib import enum


class Error(enum.Enum, shape=unsigned(4)):
    """Sticky error codes; the first error is kept, with 32 bits of detail, until it is cleared."""

    NONE = 0
    INDEX = 1  #: an event's index is outside the network; detail: the index
    VALUE = 2  #: an event's value does not fit; detail: the value
    NOT_LOADED = 3  #: an event came while no network was loaded; detail: its index
    BUSY = 4  #: a state was written or restored in the middle of a step; detail: the index or address
    LOAD_ORDER = 5  #: an image does not begin with BEGIN, or its magic or version is wrong; detail: the word
    LOAD_CONFIG = 6  #: an image was compiled for another configuration; detail: its identity
    LOAD_CAPACITY = 7  #: an image needs more than this core has; detail: the word
    LOAD_KIND = 8  #: a record of unknown kind; detail: its first word
    LOAD_RANGE = 9  #: a record writes outside its memory; detail: the address
    LOAD_CHECKSUM = 10  #: the checksum does not match the words received; detail: the checksum computed
    REGISTER = 11  #: a write to a read-only or undefined register; detail: its address
    LIST_RANGE = 12  #: a list is not within the window of external memory; detail: its first beat from there on
    LIST_READ = 13  #: external memory answered with an error; detail: the beat
    LIST_TIMEOUT = 14  #: external memory did not answer in time; detail: the beat
    LIST_TARGET = 15  #: a beat is for no lane or row, or its halves for one lane; detail: the first beat of its list
