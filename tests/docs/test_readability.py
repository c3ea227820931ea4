"""No page of the docs is hard to read, by the measure of ``python -m tools.readability``."""

import pytest

from tools import readability

MOST_WORDS = 18
"""Words per sentence: plain English stays below 20."""
MOST_LONG = 0.10
"""The share of sentences with more than 30 words."""
LEAST_EASE = 60
"""Flesch's reading ease; 60 and above is plain English, by Flesch's own scale."""


@pytest.mark.parametrize("name", readability.pages())
def test_a_page_is_easy_to_read(name: str) -> None:
    found = readability.measure(readability.pages()[name].read_text(encoding="utf-8"))
    assert found.mean <= MOST_WORDS
    assert found.long <= MOST_LONG
    assert found.ease >= LEAST_EASE


def test_the_table_has_every_page() -> None:
    page = readability.TABLE.read_text(encoding="utf-8")
    assert [name for name in readability.pages() if f"| {name} |" not in page] == []


def test_figures_of_a_known_text() -> None:
    """By hand: 2 sentences of 6 and 3 words, 10 syllables; Flesch 206.835 - 1.015 * 4.5 - 84.6 * 10 / 9."""
    found = readability.measure("The cat sat on the mat. Many dogs ran.")
    assert (found.sentences, found.mean, found.long) == (2, 4.5, 0.0)
    assert found.ease == pytest.approx(206.835 - 1.015 * 4.5 - 84.6 * 10 / 9)


def test_only_prose_counts() -> None:
    page = """# A heading of words

One two three.

```python
print("this is code. It does not count.")
```

| a table | has no sentences |
|---|---|

![a picture](file.svg)
<!-- a remark -->

- First [item here](page.md) with `code.of("it")`.
- Second item
"""
    assert readability.sentences(page) == ["One two three.", "- First item here with code.", "- Second item"]


def test_long_sentences_are_counted() -> None:
    found = readability.measure(" ".join(["word"] * 31) + ". Short one.")
    assert (found.sentences, found.long) == (2, 0.5)


def test_pages_are_there() -> None:
    assert "docs/index.md" in readability.pages()
    assert len(readability.pages()) > 40
