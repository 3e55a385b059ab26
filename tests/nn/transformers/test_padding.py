"""Padding counts for nothing, however much there is and wherever it lies."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.nn.transformers.models import FEATURES, KINDS, TOKENS, VECTORS, inputs, make, slopes
from vestige.nn import create_padding_mask
from vestige.nn.transformers.padding import split_by_length

every_kind = pytest.mark.parametrize("kind", KINDS)


def _padded(x: Tensor, before: int, after: int) -> Tensor:
    """Zeros before and after, along the second dimension."""
    shape = x.shape
    front, back = x.new_zeros(shape[0], before, *shape[2:]), x.new_zeros(shape[0], after, *shape[2:])
    return torch.cat([front, x, back], dim=1)


@every_kind
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize(("before", "after"), [(0, 1), (0, 9), (2, 0), (3, 4)])
def test_any_amount_of_padding_gives_the_same_logits(kind: str, layers: int, before: int, after: int) -> None:
    model, (text, _, sequences) = make(kind, layers=layers), inputs(tokens=4, vectors=3)
    expected = model(text, None, sequences)
    found = model(_padded(text, before, after), None, _padded(sequences, after, before))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@every_kind
def test_any_amount_of_padding_gives_the_same_slopes(kind: str) -> None:
    model, (text, _, sequences) = make(kind), inputs(tokens=4, vectors=3)
    expected = slopes(model, model(text, None, sequences))
    found = slopes(model, model(_padded(text, 1, 3), None, _padded(sequences, 2, 0)))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_row_does_not_care_how_its_neighbours_are_padded(data: st.DataObject) -> None:
    torch.manual_seed(3)
    model, (text, _, sequences) = make("collaborative"), inputs()
    lengths = data.draw(st.lists(st.integers(0, TOKENS), min_size=3, max_size=3))
    vectors = data.draw(st.lists(st.integers(0, VECTORS), min_size=3, max_size=3))
    for row in range(3):
        text[row, lengths[row] :] = 0
        sequences[row, vectors[row] :] = 0
    together = model(text, None, sequences)
    for row in range(3):
        alone = model(
            text[row : row + 1, : max(1, lengths[row])],
            None,
            sequences[row : row + 1, : max(1, vectors[row])],
        )
        torch.testing.assert_close(alone[0], together[row], atol=1e-6, rtol=1e-5)


def test_given_embeddings_move_with_their_tokens() -> None:
    model, (text, _, sequences) = make("collaborative"), inputs(tokens=4)
    padded = _padded(text, 2, 1)
    looked_up = model.embedding(padded)
    found, expected = model(padded, looked_up, sequences), model(text, None, sequences)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@every_kind
@pytest.mark.parametrize("training", [False, True])
def test_rows_of_nothing_but_padding_are_finite_in_logits_and_slopes(kind: str, training: bool) -> None:
    model, (text, _, sequences) = make(kind).train(training), inputs(batch=4)
    text[1], sequences[2], text[3], sequences[3] = 0, 0, 0, 0
    logits = model(text, None, sequences)
    assert logits.isfinite().all()
    found = slopes(model, logits)
    assert len(found) > 0
    assert all(slope.isfinite().all() for slope in found.values())


@every_kind
def test_a_batch_of_nothing_but_padding_does_not_depend_on_how_much(kind: str) -> None:
    model = make(kind)
    few = model(torch.zeros(2, 1, dtype=torch.long), None, torch.zeros(2, 1, FEATURES))
    many = model(torch.zeros(2, 40, dtype=torch.long), None, torch.zeros(2, 9, FEATURES))
    assert few.isfinite().all()
    torch.testing.assert_close(few, many)


@pytest.mark.parametrize("as_published", [False, True])
def test_slopes_of_rows_of_padding_are_those_of_finite_differences(as_published: bool) -> None:
    model, (text, _, sequences) = make("collaborative", as_published=as_published).double(), inputs()
    text[1], text[2, 3:] = 0, 0
    embeddings = torch.randn(*text.shape, 12, dtype=torch.float64, requires_grad=True)
    sequences = sequences.double()
    sequences[0] = 0
    assert torch.autograd.gradcheck(lambda given: model(text, given, sequences), (embeddings,))


def test_the_mode_of_the_original_has_its_slip() -> None:
    model, (text, _, sequences) = make("collaborative", layers=1, as_published=True), inputs(tokens=4)
    padded = _padded(text, 0, 2)
    assert not torch.allclose(model(padded, None, sequences), model(text, None, sequences), atol=1e-4)


@every_kind
def test_an_unknown_word_is_a_word(kind: str) -> None:
    unknown = 1
    model, (text, _, sequences) = make(kind), inputs(tokens=4)
    with_unknown = torch.cat([text, torch.full((3, 1), unknown)], dim=1)
    found, without = model(with_unknown, None, sequences), model(text, None, sequences)
    assert not torch.allclose(found, without, atol=1e-4)


@every_kind
def test_padding_has_the_id_that_the_model_is_told(kind: str) -> None:
    model, (text, _, sequences) = make(kind, padding_idx=7), inputs(tokens=4)
    text[text == 7] = 8
    padded = torch.cat([text, torch.full((3, 2), 7)], dim=1)
    torch.testing.assert_close(
        model(padded, None, sequences), model(text, None, sequences), atol=1e-6, rtol=1e-5
    )
    zeros = torch.cat([text, torch.zeros(3, 2, dtype=torch.long)], dim=1)
    assert not torch.allclose(model(zeros, None, sequences), model(text, None, sequences), atol=1e-4)


def test_without_a_padding_id_every_token_counts() -> None:
    model, (text, _, sequences) = make("collaborative", padding_idx=None), inputs(tokens=4)
    longer = _padded(text, 0, 2)
    assert not torch.allclose(model(longer, None, sequences), model(text, None, sequences), atol=1e-4)


def test_the_padding_mask_is_true_where_all_features_are_zero() -> None:
    feature = torch.tensor([[[0.0, 0.0], [1.0, -1.0]], [[0.0, 2.0], [0.0, 0.0]]])
    mask = create_padding_mask(feature)
    assert mask.shape == (2, 1, 1, 2)
    assert mask[:, 0, 0].tolist() == [[True, False], [False, True]]
    with pytest.raises(ValueError, match="batch, positions, features"):
        create_padding_mask(torch.zeros(3))


def _padding_of(lengths: list[int], width: int = 60) -> Tensor:
    return torch.arange(width) >= torch.tensor(lengths)[:, None]


def test_one_long_row_is_parted_from_many_short_ones() -> None:
    lengths = [6, 60, *[7, 10] * 50]
    found = split_by_length(_padding_of(lengths))
    assert found is not None
    short, long = found
    assert long.tolist() == [1]
    assert short.tolist() == [0, *range(2, 102)]


def test_long_rows_are_found_wherever_their_padding_lies() -> None:
    padding = _padding_of([50, *[5] * 40]).flip(1)
    found = split_by_length(padding)
    assert found is not None
    assert found[1].tolist() == [0]


@pytest.mark.parametrize("lengths", [[60] * 40, [9, 10] * 40, [60, 5, 5], [0] * 90, [3]])
def test_rows_stay_together_where_parting_them_saves_little(lengths: list[int]) -> None:
    assert split_by_length(_padding_of(lengths)) is None
