"""The header: what prompts begin with, found from them; and its keys moved to where each row begins."""

from types import SimpleNamespace

import pytest
import torch

from softpref.judges.header import Header, common_length, equal_length


def header(window=100):
    """Its "keys" are the ids themselves, of one head and one number each; a window keeps the last ones only."""
    runs = []

    def run(ids):
        runs.append(ids)
        keys = torch.tensor(ids, dtype=torch.float32).view(1, 1, -1, 1)[:, :, -window:]
        return SimpleNamespace(layers=[SimpleNamespace(keys=keys, values=-keys)])

    return Header(run), runs


def test_the_header_is_what_all_begin_with_and_leaves_a_token_of_each():
    found, _ = header()
    assert found.fit([[1, 2, 3, 4, 5], [1, 2, 3, 9], [1, 2, 3, 4, 7]])
    assert found.ids == [1, 2, 3]
    assert not found.fit([[1, 2, 3, 8], [1, 2, 3, 8, 8]])
    assert found.fit([[1, 2, 3]])
    assert found.ids == [1, 2]


def test_found_too_long_by_chance_it_shrinks_and_never_grows():
    found, runs = header()
    found.fit([[1, 2, 3, 4, 5]])
    assert found.ids == [1, 2, 3, 4]
    assert found.fit([[1, 2, 8, 8], [1, 2, 9]])
    assert not found.fit([[1, 2, 3, 4, 5]])
    assert found.ids == [1, 2]
    assert found.fit([[7, 7]])
    assert (found.ids, found.before(torch.tensor([0]))) == ([], None)
    assert not found.fit([[1, 2, 3]])
    assert runs == [[1, 2, 3, 4], [1, 2]]


def test_keys_stand_where_each_row_begins():
    """Header 5 6 7; rows with 0, 1, 3 and 8 columns of padding: 5 6 7, . 5 6, ... and ... (the dots are masked, here 5)."""
    found, _ = header()
    found.fit([[5, 6, 7, 8]])
    [layer] = found.before(torch.tensor([0, 1, 3, 8])).layers
    assert layer.keys.shape == (4, 1, 3, 1)
    assert layer.keys[:, 0, :, 0].tolist() == [[5, 6, 7], [5, 5, 6], [5, 5, 5], [5, 5, 5]]
    assert torch.equal(layer.values, -layer.keys)


def test_a_window_that_drops_the_first_keys_shortens_the_header():
    found, runs = header(window=2)
    found.fit([[5, 6, 7, 8]])
    assert found.ids == [5, 6]
    assert runs == [[5, 6, 7], [5, 6]]


def test_one_batch_does_not_change_the_keys_of_the_next():
    found, _ = header()
    found.fit([[5, 6, 7]])
    found.before(torch.tensor([1])).layers[0].keys.zero_()
    assert found.before(torch.tensor([0])).layers[0].keys.flatten().tolist() == [5, 6]


@pytest.mark.parametrize(
    ("one", "other", "equal", "common"),
    [([1, 2], [1, 3], 1, 1), ([1, 2], [1, 2], 2, 1), ([1], [1, 2], 1, 0), ([1], [2], 0, 0)],
)
def test_lengths_by_hand(one, other, equal, common):
    assert (equal_length(one, other), common_length(one, other)) == (equal, common)
