"""Tables: ASCII in a pipe, ruled on a terminal, names whole in both."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from meshslo.dashboards.papers import Html, Markdown
from meshslo.dashboards.tables import Name, heading, show, table


def printed(name: str, *, width: int = 100, terminal: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    shown = table(console, title="Hops")
    shown.add_column("hop")
    shown.add_column("endings", no_wrap=True)
    shown.add_row(Name(name), "cancelled 12.5 %")
    show(console, shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_pipe_gets_ascii_and_a_terminal_a_rule() -> None:
    assert printed("gateway>generator").isascii()
    assert "──" in printed("gateway>generator", terminal=True)


@pytest.mark.parametrize("width", [20, 30, 36, 100])
def test_no_name_is_torn_and_nothing_is_lost_however_narrow(width: int) -> None:
    shown = printed("gateway>retrieval-service-primary /v1/chat/completions", width=width)
    for whole in ("gateway>", "retrieval-service-primary", "/v1", "/chat", "/completions", "cancelled 12.5 %"):
        assert whole in shown


def test_a_name_breaks_at_spaces_first() -> None:
    assert list(Name("gateway>generator /v1/chat").broken(20)) == ["gateway>generator", "/v1/chat"]


def test_a_heading_is_one_in_markdown_and_html() -> None:
    markdown, html = Markdown(), Html()
    for paper in (markdown, html):
        heading(paper, "Run 1 < run 2, by hop_name")
    assert (markdown.text, html.text) == ("### Run 1 < run 2, by hop_name\n\n", "<h3>Run 1 &lt; run 2, by hop_name</h3>\n")


def test_a_narrow_page_breaks_no_number_off_its_unit() -> None:
    html = Html()
    shown = table(html)
    shown.add_column("endings")
    shown.add_row("timeout 1.4 %\n456 ms (411 ms to 1.1 s)\n12 more calls")
    show(html, shown)
    assert "timeout 1.4&nbsp;%<br>456&nbsp;ms (411&nbsp;ms to 1.1&nbsp;s)<br>12 more calls" in html.text


@given(st.lists(st.text("ab>/", min_size=1, max_size=12), min_size=1, max_size=4), st.integers(1, 40))
def test_lines_fit_where_the_longest_piece_does(words: list[str], width: int) -> None:
    name = Name(" ".join(words))
    lines = list(name.broken(width))
    assert "".join(lines).replace(" ", "") == "".join(words)
    assert max(map(len, lines)) <= max(width, name.shortest)


@given(
    st.lists(st.tuples(st.text("ab>/ ", min_size=1, max_size=30), st.text("cd ", max_size=30)), min_size=1, max_size=4),
    st.integers(20, 120),
)
def test_a_table_is_no_wider_than_the_room_unless_its_words_are(rows: list[tuple[str, str]], width: int) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    shown = table(console)
    for name, no_wrap in (("name", False), ("words", False), ("fixed", True)):
        shown.add_column(name, no_wrap=no_wrap)
    for name, words in rows:
        shown.add_row(Name(name), words, "12 345")
    show(console, shown)
    longest = [max(len("name"), *(Name(name).shortest for name, _ in rows)), len("words")]
    longest[1] = max(longest[1], *(len(word) for _, words in rows for word in words.split() or [""]))
    assert isinstance(console.file, io.StringIO)
    assert max(map(len, console.file.getvalue().splitlines())) <= max(width, sum(longest) + len("12 345") + 2 * 2)
