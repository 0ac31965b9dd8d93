"""What objectives may say: mistakes and contradictions are one sentence that names both, and where."""

import pytest

from meshslo.analysis.config import parse_config
from meshslo.analysis.slo.windows import BURN_WINDOWS, DAY_S, HOUR_S, burn_windows, calls_for_one, parse_window_s
from meshslo.telemetry.errors import BadConfigError
from tests.support.shared import ROOT


def table(name: str = "a", **keys: object) -> str:
    told = {"hop": "gateway>generator", "sli": "total", "threshold_s": 2.0, "target": 0.99, **keys}
    lines = [f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in told.items() if value]
    return "\n".join(["[[slo]]", f'name = "{name}"', *lines, ""])


SUCCESS = {"sli": "success", "threshold_s": None}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (table(treshold_s=1.0), 'meshslo.toml:7: unknown key "treshold_s" in [slo.0]; did you mean "threshold_s"?'),
        (table() + table("b", hop="generator"), "meshslo.toml:9: slo.1.hop = 'generator'"),
        (table(window="30h"), "write whole days or weeks from 1d to 90d"),
        (table(window="200d"), "write whole days or weeks from 1d to 90d"),
        (table(target=99.9), "slo.0.target = 99.9"),
        (table(sli="success"), 'sli = "success" has no threshold_s'),
        (table(threshold_s=None), 'sli = "total" needs threshold_s'),
        (table(**{**SUCCESS, "sli": "goodput"}), "all_of names the objectives of"),
        (table() + table(threshold_s=3.0, target=0.5), 'two [[slo]] are called "a"'),
        (
            table(target=0.99) + table("b", threshold_s=5.0, target=0.95),
            'slo "b" (total within 5 s for 95 % of calls over 30d) is never missed while slo "a"',
        ),
        (table() + table("b", target=0.95), 'slo "b" (total within 2 s for 95 % of calls over 30d) is never missed'),
        (table(**SUCCESS) + table("b", **SUCCESS), 'slo "a" and slo "b" both ask for success'),
        (
            table(target=0.95) + table("b", threshold_s=None, sli="goodput", target=0.99) + 'all_of = ["a"]',
            'slo "b" wants 0.99 of calls to keep "a", which wants only 0.95',
        ),
        (table("b", threshold_s=None, sli="goodput") + 'all_of = ["a"]', 'all_of names "a", which is no objective'),
        (
            table(tenant="t") + table("b", threshold_s=None, sli="goodput", target=0.9) + 'all_of = ["a"]',
            'slo "b" and slo "a" are about different calls (gateway>generator; gateway>generator t)',
        ),
        (
            "[chain]\ndeadline_s = 1.5\n" + table(),
            'slo "a".threshold_s = 2 is longer than chain.deadline_s = 1.5, which cuts calls before it',
        ),
        ('[hops."gateway>generator"]\ndeadline_s = 1.5\n' + table(), 'hops."gateway>generator".deadline_s = 1.5'),
        (
            "[objectives]\nfalse_timeout_ratio = 0.02\n" + table(**SUCCESS),
            'slo "a".target = 0.99 lets a share of 0.01 fail, but false_timeout_ratio = 0.02 lets timers alone cut more',
        ),
    ],
)
def test_a_mistake_names_what_it_contradicts(text: str, sentence: str) -> None:
    with pytest.raises(BadConfigError) as raised:
        parse_config(text)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_objectives_that_differ_in_calls_or_window_may_differ_in_target() -> None:
    texts = [
        table(),
        table("b", tenant="gold", target=0.95),
        table("c", window="7d", target=0.95),
        table("d", threshold_s=5, target=0.999),
    ]
    assert len(parse_config("\n".join(texts)).slo) == 4


def test_the_budget_shares_make_the_workbooks_factors() -> None:
    month = [(window.severity, window.factor(30 * DAY_S)) for window in burn_windows(30 * DAY_S)]
    assert month == [("page", 14.4), ("page", 6.0), ("ticket", 3.0), ("ticket", 1.0)]
    assert [window.short_s for window in burn_windows(30 * DAY_S)] == [300, 1800, 7200, 21_600]
    assert [calls_for_one(factor, 0.01) for _, factor in month] == [7, 17, 34, 100]


@pytest.mark.parametrize("period", ["1d", "3d", "7d", "2w", "4w", "30d", "90d"])
def test_an_alert_never_looks_further_back_than_its_objective(period: str) -> None:
    period_s = parse_window_s(period)
    for window in burn_windows(period_s):
        assert window.long_s <= period_s
        assert window.factor(period_s) > 0.9


def test_every_long_window_splits_into_whole_minutes() -> None:
    windows = [window for table in BURN_WINDOWS.values() for window in table]
    assert all(window.short_s % 60 == 0 and window.long_s % HOUR_S == 0 for window in windows)


def test_the_example_of_the_docs_is_a_config() -> None:
    text = (ROOT / "docs" / "slo.md").read_text()
    example = text.split("```toml\n")[1].split("```")[0]
    assert [objective.sli for objective in parse_config(example).slo] == ["first_token", "success", "goodput"]
