import pytest

from meshslo.analysis.config import Config, parse_config
from meshslo.analysis.config_text import line_of
from meshslo.telemetry.errors import BadConfigError

WHOLE = """
[objectives]
false_timeout_ratio = 0.01
confidence = 0.9

[chain]
deadline_s = 60
amplification = 1.1

[models."llama-70b"]
max_tokens = 2048
output_price = 0.9

[hops."gateway>retriever"]
idempotent = true
deadline_s = 2.5
false_timeout_ratio = 0.002

[emit]
namespace = "rag"
host = "{callee}.{namespace}.svc.cluster.local"
"""


def test_an_empty_file_holds_the_defaults() -> None:
    assert parse_config("") == Config()
    assert Config().objectives.false_timeout_ratio == 0.001


def test_every_table_is_read() -> None:
    config = parse_config(WHOLE)
    assert config.models["llama-70b"].max_tokens == 2048
    assert config.hop("gateway>retriever").idempotent
    assert config.false_timeout_ratio("gateway>retriever") == 0.002
    assert config.false_timeout_ratio("gateway>generator") == 0.01


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[objectives]\nfalse_timout_ratio = 0.1",
            'meshslo.toml:2: unknown key "false_timout_ratio" in [objectives]; did you mean "false_timeout_ratio"?',
        ),
        (
            "[objectivs]\nconfidence = 0.9",
            'meshslo.toml:1: unknown key "objectivs" in the top level; did you mean "objectives"?',
        ),
        ("[models.m]\nmax_token = 3", 'meshslo.toml:2: unknown key "max_token" in [models.m]; did you mean "max_tokens"?'),
        ('[hops."a>b"]\nzzzz = 3', 'unknown key "zzzz" in [hops."a>b"]; known keys are capacity_per_s, client_proxies'),
        ("[objectives]\nconfidence = 1.5", "meshslo.toml:2: objectives.confidence = 1.5: Input should be less than 1"),
        ("[models]\nm = { max_tokens = 0 }", "meshslo.toml:2: models.m.max_tokens = 0"),
        ("confidence = ", "meshslo.toml is no TOML"),
        ("[hops.gateway]\nidempotent = true", '[hops."gateway"] is no hop; write it as caller>callee'),
        ('[emit]\nhost = "{service}"', "emit.host"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(text: str, sentence: str) -> None:
    with pytest.raises(BadConfigError) as raised:
        parse_config(text)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_contradiction_names_both_settings() -> None:
    with pytest.raises(BadConfigError, match=r'hops."a>b".deadline_s = 9 .* chain.deadline_s = 5'):
        parse_config('[chain]\ndeadline_s = 5\n[hops."a>b"]\ndeadline_s = 9')


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(BadConfigError, match=r"meshslo.toml:2: .*; meshslo.toml:4: "):
        parse_config("[chain]\nx = 1\n[emit]\ny = 2")


def test_a_quoted_key_is_found_in_its_table() -> None:
    assert line_of('[hops."a>b"]\n# note\nidempotent = 1', ("hops", "a>b", "idempotent")) == 3
