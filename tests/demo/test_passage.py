"""Who gets through: counted by caller and target, and better only where all that is meant passes and nothing else."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshslo.demo.scenarios.passage import Errand, Passage, Path, holds, tally

WORK = Path("gateway", "generator", "/chat", meant=True)
ROGUE = Path("laptop", "generator", "/chat", meant=False)


def run(statuses: Mapping[Path, list[int]], reached: int | None = None) -> Passage:
    errands = [Errand(0.0, path) for path, answers in statuses.items() for _ in answers]
    flat = [status for answers in statuses.values() for status in answers]
    return tally("run", errands, flat, flat.count(200) if reached is None else reached)


OPEN = run({WORK: [200, 200], ROGUE: [200]})


@pytest.mark.parametrize(
    ("before", "after", "better"),
    [
        (OPEN, run({WORK: [200, 200], ROGUE: [403]}), True),
        (OPEN, OPEN, False),  # nobody is kept out
        (OPEN, run({WORK: [200, 403], ROGUE: [403]}), False),  # so is some of the work
        (OPEN, run({WORK: [200, 200], ROGUE: [0]}), False),  # a broken proxy is no policy
        (OPEN, run({WORK: [200, 200], ROGUE: [403]}, reached=3), False),  # refused, and arrived all the same
        (run({WORK: [200, 200], ROGUE: [403]}), run({WORK: [200, 200], ROGUE: [403]}), False),  # it was so before
    ],
)
def test_better_is_all_that_is_meant_and_nothing_else(before: Passage, after: Passage, better: bool) -> None:
    assert holds(before, after) is better


@given(st.lists(st.tuples(st.sampled_from([WORK, ROGUE]), st.sampled_from([200, 403, 503, 0])), min_size=1))
def test_every_request_is_counted_once(drawn: list[tuple[Path, int]]) -> None:
    counted = tally("run", [Errand(0.0, path) for path, _ in drawn], [status for _, status in drawn], 0)
    assert counted.requests == len(drawn)
    assert counted.answered == sum(status == 200 for _, status in drawn)
    assert counted.failed == sum(status in (503, 0) for _, status in drawn)
    assert {each.caller for each in counted.tallies} == {path.caller for path, _ in drawn}
