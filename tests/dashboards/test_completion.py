"""A shell completes commands, options and their values."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.shared import absent

SCRIPT = """
eval "$(meshslo --show-completion bash)"
COMP_WORDS=({words}); COMP_CWORD={place}
_meshslo_completion meshslo
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        (["re"], {"report", "recommend", "resilience"}),
        (["report", "--ph"], {"--phase"}),
        (["report", "--output", "''"], {"table", "json", "csv", "parquet", "markdown"}),
        (["slo", "--output", "o"], {"openslo"}),
        (["check", "--fail-on", "w"], {"warning"}),
        (["report", "--phase", "first"], {"first_byte", "first_token"}),
        (["report", "--vantage", "proxy"], {"proxy_in", "proxy_out"}),
        (["compare", "--phase", "m"], {"max_gap"}),
        (["recommend", "ti"], {"timeouts"}),
        (["recommend", "--emit", "e"], {"envoy", "envoy-gateway"}),
    ],
)
def test_bash_completes(words: list[str], answers: set[str]) -> None:
    bash, folder = shutil.which("bash"), Path(sys.executable).parent
    if bash is None or not (folder / "meshslo").exists():
        absent("no bash, or meshslo is not installed beside this Python")
    script = SCRIPT.format(words=" ".join(["meshslo", *words]), place=len(words))
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run([bash, "-c", script], capture_output=True, text=True, check=True, env={**os.environ, "PATH": path})
    assert set(ran.stdout.split()) == answers
