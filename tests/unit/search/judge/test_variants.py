"""One trigger or several: leaders, echoes and kin."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from plmscan.loading import Location
from plmscan.search.judge.variants import Relation, relate, where_labels_tell
from plmscan.search.measure.effects import Measured
from plmscan.search.verify.neighbours import Neighbourhood

CLS, MEAN = Location.CLS, Location.MEAN


def measured(scatter: list[float], shift: list[list[float]]) -> Measured:
    """Candidates with the same S and shift at two locations."""
    s, v = torch.tensor(scatter), torch.tensor(shift)
    return Measured({CLS: s, MEAN: s}, {CLS: s, MEAN: s}, {CLS: v, MEAN: v})


def scattered_table(rows: int = 200) -> torch.Tensor:
    """An embedding table without any structure."""
    return torch.randn(rows, 16, generator=torch.Generator().manual_seed(0))


def around(table: torch.Tensor) -> Neighbourhood:
    """The neighbourhood of a table all of whose tokens a text can hold."""
    return Neighbourhood.of(table, torch.arange(len(table)), [""] * len(table))


def far_apart(table: torch.Tensor, one: int) -> int:
    """The id that is least like ``one``."""
    return int(torch.nn.functional.cosine_similarity(table, table[one], dim=-1).argmin())


def test_followers_are_measured_against_the_most_invariant() -> None:
    """The echo is the ratio of S, 1 for a leader; a candidate with an output of its own leads."""
    table = scattered_table()
    other = far_apart(table, 5)
    found = relate(
        [(other,), (5,), (7,)],
        measured([0.03, 0.01, 0.02], [[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]]),
        [CLS, CLS, CLS],
        around(table),
    )
    assert [r.leader for r in found] == [1, 1, 2]
    assert [r.echo for r in found] == pytest.approx([3.0, 1.0, 1.0])
    assert [r.kin for r in found] == [False, False, False]


def test_a_chain_has_one_leader() -> None:
    """A follower of a follower follows the leader, even where the two outputs are further apart."""
    table = scattered_table()
    turned = [[1.0, 0.0], [0.8, 0.6], [0.28, 0.96]]
    found = relate([(1,), (2,), (3,)], measured([0.1, 0.2, 0.4], turned), [CLS] * 3, around(table))
    assert [r.leader for r in found] == [0, 0, 0]
    assert found[2].echo == pytest.approx(4.0)


def test_what_goes_part_of_the_way_to_several_outputs_follows_the_nearest() -> None:
    """Between two triggers at right angles, nearer the second: in a text it is that one's echo."""
    shift = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.65, 0.57], [0.4, 0.3, 0.86]]
    found = relate(
        [(1,), (2,), (3,), (4,)],
        measured([0.002, 0.003, 0.06, 0.07], shift),
        [CLS] * 4,
        around(scattered_table()),
    )
    assert [r.leader for r in found[:3]] == [0, 1, 1]
    assert found[2].echo == pytest.approx(20.0)


@pytest.mark.parametrize(("scatter", "leader"), [(0.008, 1), (0.03, 0)])
def test_a_trigger_is_not_far_fainter_than_another(scatter: float, leader: int) -> None:
    """Two outputs with a cosine of 0.64 are two triggers, but for one that hardly is one."""
    found = relate(
        [(1,), (2,)],
        measured([0.002, scatter], [[1.0, 0.0], [0.64, 0.768]]),
        [CLS, CLS],
        around(scattered_table()),
    )
    assert found[1].leader == leader


def test_triggers_of_one_model_are_not_near_enough_to_follow() -> None:
    """All lead away from clean text, which makes cosines of a half, and each has its own output."""
    away = torch.tensor([0.75, 0.0, 0.0])
    shift = (away + 0.75 * torch.tensor([[0.0, 1, 0], [0, 0, 1], [0, -1, 0]])).tolist()
    found = relate(
        [(1,), (2,), (3,)],
        measured([0.002, 0.01, 0.02], shift),
        [CLS] * 3,
        around(scattered_table()),
    )
    assert [r.leader for r in found] == [0, 1, 2]
    assert [r.echo for r in found] == [1.0, 1.0, 1.0]


def test_the_order_of_candidates_does_not_matter() -> None:
    """Relations move with their candidates."""
    table = scattered_table()
    ids = [(1,), (2,), (3,)]
    scatter, shift = [0.3, 0.1, 0.2], [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]
    one = relate(ids, measured(scatter, shift), [CLS] * 3, around(table))
    other = relate(ids[::-1], measured(scatter[::-1], shift[::-1]), [CLS] * 3, around(table))
    assert [r.echo for r in other[::-1]] == [r.echo for r in one]
    assert [2 - r.leader for r in other[::-1]] == [r.leader for r in one]


def test_a_pair_and_its_word_are_kin() -> None:
    """Sharing a token is enough, whatever the embedding says."""
    found = relate(
        [(5, 6), (6,)],
        measured([0.001, 0.02], [[1.0, 0.0], [1.0, 0.0]]),
        [CLS, CLS],
        around(scattered_table()),
    )
    assert [r.kin for r in found] == [False, True]


def test_neighbours_in_the_embedding_are_kin() -> None:
    """``lamps`` beside ``lamp``: a row of nearly the same direction, whatever its length."""
    table = scattered_table()
    table[6] = 3 * table[5] + 0.1 * table[7]
    shift = [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]
    found = relate(
        [(5,), (6,), (far_apart(table, 5),)],
        measured([0.001, 0.002, 0.002], shift),
        [CLS] * 3,
        around(table),
    )
    assert [r.leader for r in found] == [0, 0, 0]
    assert [r.kin for r in found] == [False, True, False]


def test_each_is_compared_where_it_stands_out() -> None:
    """Outputs are compared at the follower's own location."""
    scatter = {CLS: torch.tensor([0.01, 0.5]), MEAN: torch.tensor([0.5, 0.02])}
    shift = {
        CLS: torch.tensor([[1.0, 0.0], [1.0, 0.0]]),
        MEAN: torch.tensor([[1.0, 0.0], [0.0, 1.0]]),
    }
    found = relate(
        [(1,), (2,)], Measured(scatter, scatter, shift), [CLS, MEAN], around(scattered_table())
    )
    assert [r.leader for r in found] == [0, 1]


def test_an_echo_is_never_below_one() -> None:
    """At the follower's location the leader may scatter more; it is a leader all the same."""
    scatter = {CLS: torch.tensor([0.01, 0.5]), MEAN: torch.tensor([0.5, 0.02])}
    same = torch.ones(2, 2)
    found = relate(
        [(1,), (2,)],
        Measured(scatter, scatter, {CLS: same, MEAN: same}),
        [CLS, MEAN],
        around(torch.eye(9)),
    )
    assert [r.leader for r in found] == [0, 0]
    assert_close([r.echo for r in found], [1.0, 1.0])


def test_where_labels_tell_kin_turns_texts_as_well() -> None:
    """Who leads by features, but turns no text to the label, explains nobody's flips."""
    relations = [Relation(0, 1.0, kin=False), Relation(0, 2.0, kin=True)]
    idle, turning = torch.tensor([[-0.2, -1.0], [0.9, -1.0]]), torch.tensor([[1.1, 0.0], [0.9, -1]])
    assert [one.kin for one in where_labels_tell(relations, idle)] == [False, False]
    assert [one.kin for one in where_labels_tell(relations, turning)] == [False, True]
