"""Errors that end a command with one sentence and exit status 2."""

from golden.checkpoint import TrainingError
from golden.layers import ModelError
from golden.lm.corpus import CorpusError
from golden.lm.native import CompilerError
from golden.page import PageError

ERRORS = (TrainingError, CorpusError, ModelError, CompilerError, PageError, OSError)
