"""Histograms that keep counts and bytes in bounded memory."""

from __future__ import annotations

import itertools
import random

from harness.core.inventory import MOST_LABELS, Labels, Sizes


def test_slices_keep_count_and_bytes_and_give_a_tail_a_part_of_its_own() -> None:
    rng = random.Random(1)
    sizes, all_of_them = Sizes(), []
    for _ in range(5000):
        size = min(int(rng.lognormvariate(7, 1.4)), 1_000_000)
        sizes.add(size)
        all_of_them.append(size)
    slices = sizes.slices()
    assert sum(part.count for part in slices) == 5000
    evenly = sum(part.count * (part.low + part.high) / 2 for part in slices)
    assert abs(evenly / sum(all_of_them) - 1) < 0.01
    assert [part.high < later.high for part, later in itertools.pairwise(slices)] == [True] * 3
    assert slices[-1].count < 100
    assert slices[-1].low > sorted(all_of_them)[4500]
    assert len(sizes.bins) < 170


def test_equal_sizes_are_one_part() -> None:
    sizes = Sizes()
    for _ in range(10):
        sizes.add(3000)
    (part,) = sizes.slices()
    assert (part.count, part.low, part.high) == (10, 3000, 3000)


def test_nothing_has_no_parts_and_empty_payloads_have_one() -> None:
    assert Sizes().slices() == []
    sizes = Sizes()
    sizes.add(0)
    assert [(part.count, part.low, part.high) for part in sizes.slices()] == [(1, 0, 0)]


def test_labels_are_counted_by_key_and_values_only_measured() -> None:
    labels = Labels()
    labels.add({"app": "abcd", "tier": "ab"})
    labels.add({"app": "secret-customer"})
    labels.add({})
    assert (labels.per_object, labels.mean_value) == (1, 7)
    assert dict(labels.keys) == {"app": 2, "tier": 1}
    assert "secret-customer" not in repr(labels)


def test_made_up_keys_do_not_fill_the_memory() -> None:
    labels = Labels()
    for number in range(MOST_LABELS + 500):
        labels.add({f"key-{number}": "x"})
    assert len(labels.keys) == MOST_LABELS + 1
    assert labels.keys["(other keys)"] == 500
