"""Prometheus' own checks of rule files: `promtool check rules`, and unit tests over series that a test makes up."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from tests.support.prometheus import binary

Expected = tuple[str, str, float]
"""PromQL, the moment it is asked at ("65m"), the value of its one sample without labels."""


def check_rules(file: Path) -> None:
    """Fail with promtool's words unless the rule file is sound."""
    result = subprocess.run([binary("promtool"), "check", "rules", str(file)], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "SUCCESS" in result.stdout


def run_rules(file: Path, series: Mapping[str, str], expected: Sequence[Expected], *, beside: Sequence[Path] = ()) -> None:
    """Fail with promtool's words unless the rules, over `series` (a sample a minute), come to what is expected.

    `beside`: further rule files that are loaded with it.
    """
    test = {
        "rule_files": [str(each) for each in (file, *beside)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {"expr": expr, "eval_time": at, "exp_samples": [{"labels": "{}", "value": value}]}
                    for expr, at, value in expected
                ],
            }
        ],
    }
    path = file.with_suffix(".test.yaml")
    path.write_text(yaml.safe_dump(test))
    result = subprocess.run([binary("promtool"), "test", "rules", str(path)], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def firing(alert: str, **labels: str) -> str:
    """PromQL: how many alerts of this name and these labels fire."""
    told = "".join(f',{key}="{value}"' for key, value in labels.items())
    return f'count(ALERTS{{alertname="{alert}",alertstate="firing"{told}}}) or vector(0)'
