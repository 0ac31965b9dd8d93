"""Sentences of commands: within the width, further in from the second line on, no word torn, none lost."""

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from meshslo.dashboards.papers import Html, Markdown
from meshslo.dashboards.sentences import Sentence, say


def printed(text: str, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    say(console, text)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@given(st.lists(st.text("a.:/>[]-", min_size=1, max_size=30), min_size=1, max_size=12), st.integers(10, 60))
def test_every_word_is_there_whole_and_lines_are_as_long_as_their_words_allow(words: list[str], width: int) -> None:
    lines = printed(" ".join(words), width)
    assert [word for line in lines for word in line.split()] == words
    assert max(map(len, lines)) <= max(width, 2 + max(map(len, words)))
    assert all(line.startswith("  ") for line in lines[1:])


def test_what_looks_like_markup_is_printed() -> None:
    assert printed("gateway.yaml:65: error [MS113] cut", 100) == ["gateway.yaml:65: error [MS113] cut"]


def test_a_sentence_is_a_paragraph_on_paper_whatever_its_length() -> None:
    markdown, html = Markdown(), Html()
    for paper in (markdown, html):
        say(paper, "word " * 60)
    assert markdown.text == f"{('word ' * 60).strip()}\n\n"
    assert html.text == f"<p>{('word ' * 60).strip()}</p>\n"


def test_lines_after_the_first_stand_as_far_in_as_asked() -> None:
    assert Sentence("    instead: a longer one", hang=6).lines(18) == ["    instead: a", "      longer one"]
