"""The list of seeded bugs follows the code."""

from collections import Counter

import pytest

from tests.mutate import ROOT, mutants


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.bug)
def test_changes_text_that_is_there(mutant):
    assert mutant.old in (ROOT / mutant.file).read_text()
    assert mutant.new != mutant.old
    assert bool(mutant.tests) != bool(mutant.proof)


def test_each_bug_is_seeded_once():
    assert not [bug for bug, count in Counter(mutant.bug for mutant in mutants()).items() if count > 1]
