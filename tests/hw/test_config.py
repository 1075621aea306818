"""Configuration: limits and their messages, derived widths, identity."""

import re
from dataclasses import replace

import numpy as np
import pytest

from golden.fanout import required
from golden.streamed import required_streamed
from hw.config import CoreConfig
from tests.networks import random_fixed_network

LIMITS = {
    "lanes": (1, 64), "cell_units": (1, 64), "rows": (1, 4096), "entries": (2, 1 << 18), "sources": (2, 32768),
    "layers": (1, 15), "y_bits": (8, 16), "value_bits": (9, 17), "acc_bits": (16, 32),
}  # fmt: skip


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("outside", ["below", "above", "text"])
def test_limits(name, outside):
    low, high = LIMITS[name]
    value = {"below": low - 1, "above": high + 1, "text": "8"}[outside]
    message = f"{name} is {value!r}; it must be an integer from {low} to {high}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        CoreConfig(**{name: value})


@pytest.mark.parametrize(
    "choice, message",
    [
        ({"lanes": 8, "cell_units": 3}, "cell_units is 3; it must divide lanes, which is 8"),
        ({"queue_depth": 4}, "queue_depth is 4; it must be 8, 16, 32 or 64"),
        ({"queue_depth": 24}, "queue_depth is 24; it must be 8, 16, 32 or 64"),
        ({"weight_bits": 6}, "weight_bits is 6; it must be 4 or 8"),
        (
            {"y_bits": 12, "value_bits": 12},
            "value_bits is 12; it must be more than y_bits, which is 12, as an event's value is signed",
        ),
    ],
)
def test_contradictions(choice, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        CoreConfig(**choice)


COMPACT = {"lanes": 4, "cell_units": 1, "counters": False, "compact": True}


@pytest.mark.parametrize(
    "choice, message",
    [
        ({"counters": True}, "counters is True; it must be False where compact is True"),
        ({"forwarding": True}, "forwarding is True; it must be False where compact is True"),
        ({"split_banks": True}, "split_banks is True; it must be False where compact is True"),
        ({"hops": 2}, "hops is 2; it must be 1 where compact is True"),
        ({"distributed_cells": True}, "distributed_cells is True; it must be False where compact is True"),
        ({"cell_units": 2}, "cell_units is 2; it must be at most 1 where compact is True"),
        ({"lanes": 17}, "lanes is 17; it must be at most 16 where compact is True"),
        ({"rows": 65}, "rows is 65; it must be at most 64 where compact is True"),
        ({"value_bits": 17}, "value_bits is 17; it must be at most 16 where compact is True"),
        (
            {"entries": 65536 - 4 * 256 + 1, "sources": 256},
            "entries is 64513 and sources is 256; where compact is True, entries and 4 times the sources together must "
            "be at most 65536",
        ),
    ],
)
def test_limits_of_a_compact_core(choice, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        CoreConfig(**COMPACT | choice)


STREAMED = {"lanes": 16, "gap_bits": 5, "lists": 512}


@pytest.mark.parametrize(
    "choice, message",
    [
        ({"gap_bits": 7}, "gap_bits is 7; it must be 0, 4, 5 or 6"),
        ({"gap_bits": 0}, "lists is 512; it must be 0 where gap_bits is 0, as lists are on chip then"),
        ({"lists": 0}, "lists is 0; it must be from 1 to 32768 where gap_bits is not 0"),
        ({"rows": 513}, "rows is 513; it must be from 1 to 512 where gap_bits is not 0"),
        ({"port_bits": 32}, "port_bits is 32; it must be 64, 128, 256 or 512"),
        ({"forwarding": True}, "forwarding is True; it must be False where gap_bits is not 0"),
        ({**COMPACT}, "compact is True; it must be False where gap_bits is not 0"),
    ],
)
def test_limits_of_lists_in_external_memory(choice, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        CoreConfig(**STREAMED | choice)


def test_fitting_lists_in_external_memory():
    network = random_fixed_network(np.random.default_rng(0), inputs=30, layers=[40, 33], outputs=70, weight_density=0.1)
    config = CoreConfig.fitting(network, 4, cell_units=1, streamed=True)
    needs = required_streamed(network, 4)
    assert (config.gap_bits, config.lists, config.rows) == (needs["gap_bits"], 128, 32)
    assert needs["lists"] == 103 and needs["rows"] == 10 + 9 + 5  # of four outputs each
    assert config.compile(network).image.config_id == config.config_id


def test_lists_and_directory_of_a_compact_lane_share_a_memory():
    assert CoreConfig(**COMPACT, entries=16384 - 4 * 256, sources=256).list_bits == 14
    assert CoreConfig(**COMPACT, entries=16384 - 4 * 256 + 1, sources=256).list_bits == 15
    assert CoreConfig(**COMPACT, entries=65536 - 4 * 256, sources=256).list_bits == 16


def test_fitting_a_compact_core_fills_its_list_memory():
    network = random_fixed_network(np.random.default_rng(0), inputs=9, layers=[40], outputs=5, weight_density=0.5)
    config = CoreConfig.fitting(network, **COMPACT)
    assert (config.sources, config.entries, config.list_bits) == (64, 16384 - 4 * 64, 14)
    assert required(network, 4)["entries"] <= config.entries


def test_positional_arguments_are_refused():
    with pytest.raises(TypeError):
        CoreConfig(8)


@pytest.mark.parametrize(
    "choice, widths",
    [
        (
            {"lanes": 8, "cell_units": 2, "rows": 32, "entries": 2048, "sources": 256, "layers": 4},
            {"lanes_per_cell": 4, "lane_bits": 2, "row_bits": 5, "unit_bits": 7, "entry_bits": 11, "count_bits": 7,
             "source_bits": 8, "layer_bits": 2, "groups": 5, "group_bits": 3, "restore_group": 5},
        ),
        (
            {"lanes": 1, "cell_units": 1, "rows": 1, "entries": 2, "sources": 2, "layers": 1},
            {"lanes_per_cell": 1, "lane_bits": 0, "row_bits": 1, "unit_bits": 1, "entry_bits": 1, "count_bits": 2,
             "source_bits": 1, "layer_bits": 1, "groups": 2, "group_bits": 2, "restore_group": 2},
        ),
        (
            {"lanes": 9, "cell_units": 3, "rows": 33, "entries": 2049, "sources": 257, "layers": 3},
            {"lanes_per_cell": 3, "lane_bits": 2, "row_bits": 6, "unit_bits": 8, "entry_bits": 12, "count_bits": 8,
             "source_bits": 9, "layer_bits": 2, "groups": 4, "group_bits": 3, "restore_group": 4},
        ),
    ],
)  # fmt: skip
def test_derived_widths(choice, widths):
    config = CoreConfig(**choice)
    assert {name: getattr(config, name) for name in widths} == widths


@pytest.mark.parametrize("entries, rows", [(1 << 18, 4096), (16, 2)])
def test_a_directory_word_fits_the_load_bus(entries, rows):
    config = CoreConfig(entries=entries, rows=rows)
    assert config.load_bits == max(32, 2 * config.entry_bits + config.offset_bits + 2)


@pytest.mark.parametrize("layers", range(1, 16))
def test_marker_counts_tell_ahead_from_behind(layers):
    """Two lanes may be the markers of two steps apart, in either direction."""
    assert 1 << CoreConfig(layers=layers).marker_bits - 1 > layers + 1


def test_every_parameter_changes_the_identity():
    base = CoreConfig()
    changes = {
        "lanes": 4, "cell_units": 4, "queue_depth": 8, "rows": 33, "entries": 2049, "sources": 255, "layers": 3,
        "weight_bits": 4, "y_bits": 9, "value_bits": 10, "acc_bits": 25, "split_banks": True, "forwarding": True,
        "counters": False, "hops": 2, "distributed_cells": True, "compact": True, "gap_bits": 4, "lists": 7,
        "port_bits": 64, "ranked": 3,
    }  # fmt: skip
    assert set(changes) == set(base.__dataclass_fields__)
    identities = {base.config_id}
    for name, value in changes.items():
        others = {
            "y_bits": {"value_bits": 12}, "compact": {"cell_units": 1, "counters": False}, "gap_bits": {"lists": 2},
            "lists": {"gap_bits": 4}, "port_bits": {"gap_bits": 4, "lists": 2},
        }.get(name, {})  # fmt: skip
        identities.add(replace(base, **{name: value}, **others).config_id)
    assert len(identities) == 1 + len(changes)
    assert CoreConfig().config_id == base.config_id
    assert all(0 <= identity < 1 << 32 for identity in identities)


def test_identities_outlast_new_options():
    """Images compiled before there was an option still load."""
    assert CoreConfig().config_id == 0x99E0CA1D
    assert CoreConfig(**STREAMED).config_id != CoreConfig(lanes=16).config_id
    assert CoreConfig(**COMPACT).config_id == 0xDD8D9AF0


def test_capacity_is_what_the_compiler_needs():
    config = CoreConfig()
    capacity = config.capacity
    assert capacity.config_id == config.config_id
    for name in ("lanes", "cell_units", "rows", "entries", "sources", "layers", "weight_bits", "y_bits", "acc_bits"):
        assert getattr(capacity, name) == getattr(config, name)
