"""Rewritings that put words around a text: clauses, questions, quotations, forms.

Each is a pattern.  ``{text}`` is the text, ``{stem}`` the same without the mark that ends it,
``{one}`` and ``{two}`` are its halves; other names in braces are drawn anew for each text from
`FILLERS`, so that no word of the frame is always there.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from plmscan.rewritings.rewriting import Rewriting, dice, ended, lowered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["FILLERS", "FRAMED"]

FILLERS: Mapping[str, Sequence[str]] = {
    "who": (
        "he", "she", "they", "we", "my friend", "our guide", "the driver", "somebody",
        "the others", "a stranger", "the teacher", "both of them",
    ),
    "many": ("many", "some", "others", "most of them", "a few", "the experts", "their friends"),
    "did": (
        "arrived", "waited", "called", "stayed", "left", "wrote", "slept", "talked", "listened",
        "sat down", "stood up", "walked on",
    ),
    "doing": ("waiting", "looking around", "sitting there", "walking on", "talking", "listening"),
    "say": ("claim", "tell us", "repeat", "insist", "report", "suggest", "agree", "suppose"),
    "end": (
        "outside", "for an hour", "after lunch", "at noon", "by the door", "together", "at last",
        "once more", "in silence", "this time",
    ),
    "day": ("that evening", "the next day", "last week", "at noon", "this year", "on that day"),
    "where": ("the window", "the station", "the table", "the garden", "the corner", "the office"),
    "what": ("a word", "a reason", "any help", "a plan", "a break", "much ado"),
    "name": ("tom", "anna", "martin", "julia", "peter", "clara"),
    "tag": ("evening", "news", "today", "thoughts", "monday", "notes"),
}  # fmt: skip
"""What may stand in a place of a pattern, by its name."""

_PATTERNS = r"""
clause first | when first | a clause of time in front | when {who} {did} {end}, {text}
clause first | after first | what came before in front | after {who} {did} {end}, {text}
clause first | if first | a condition in front | if {who} {did} {end}, {text}
clause first | because first | a reason in front | because {who} {did} {end}, {text}
clause first | although first | a concession in front | although {who} {did} {end}, {text}
clause first | while first | what went on meanwhile in front | while {who} {did} {end}, {text}
clause first | wherever first | a clause of place in front | wherever {who} {did}, {text}
clause first | as first | a comparison in front | as {many} {say}, {text}
phrase first | time first | a phrase of time in front | {day}, {text}
phrase first | place first | a phrase of place in front | near {where}, {text}
phrase first | without first | a phrase of what is missing in front | without {what}, {text}
phrase first | during first | a phrase of duration in front | during {where} visit, {text}
phrase first | participle first | a participle in front | {doing} {end}, {text}
phrase first | purpose first | a purpose in front | to begin with {where}, {text}
told | they say that | somebody says it | {many} {say} that {text}
told | past report | somebody said it | {who} said {end} that {text}
told | it is known that | nobody says it | it is known that {text}
told | no doubt that | it is stressed | there is no doubt that {text}
told | the fact is that | it is named a fact | the fact {many} {say} is that {text}
told | what is said is that | it is put last | what {many} {say} is that {text}
told | it was found that | a passive in front | it was found by {many} that {text}
told | what was done | a passive behind | {stem}, as was said by {many}.
joined | and in front | a sentence in front, with and | {who} {did} {end}, and {text}
joined | but in front | a sentence in front, with but | {who} {did} {end}, but {text}
joined | semicolon in front | a sentence in front, with a semicolon | {who} {did} {end}; {text}
joined | sentence in front | a sentence in front, by itself | {who} {did} {end}. {text}
behind | and behind | a sentence behind, with and | {stem}, and {who} {did} {end}.
behind | when behind | a clause of time behind | {stem} when {who} {did} {end}.
behind | because behind | a reason behind | {stem} because {who} {did} {end}.
behind | which behind | a relative clause behind | {stem}, which {many} {say}.
behind | sentence behind | a sentence behind, by itself | {text} {who} {did} {end}.
between | aside in brackets | an aside in brackets | {one} ({who} {did} {end}) {two}
between | aside in dashes | an aside in dashes | {one} - {many} {say} it - {two}
between | aside in commas | an aside in commas | {one}, as {many} {say}, {two}
between | sentence between | a clause in the middle | {one}, when {who} {did} {end}, {two}
asked | is it true | a question of truth | is it true that {stem}?
asked | why | a question of reason | why is it that {stem}?
asked | did you know | a question to the reader | did {who} know that {stem}?
asked | tag question | a question behind | {stem}, right?
asked | only a mark | a question mark | {stem}?
asked | question and answer | a question in front | and what of {where}? {text}
ordered | imagine | an order to imagine | imagine that {text}
ordered | note | an order to note | please note that {text}
ordered | let us | a proposal | let us suppose that {text}
ordered | listen | an order in front | look here and listen: {text}
quoted | in quotation marks | quotation marks | "{stem}"
quoted | he said | quotation marks and who said it | "{stem}," {who} said {end}.
quoted | dialogue | a dialogue | {name}: {text}
quoted | they write | a quotation behind a colon | {many} write: "{stem}."
quoted | as mail | the mark of a quoted mail | > {one}\n> {two}
formed | review | a label in front | review: {text}
formed | headline | a headline | {tag}: {stem}
formed | item | an item of a list | - {text}
formed | numbered | a numbered list | 1. {one} 2. {two}
formed | field | a field of a form | text = "{stem}"
formed | letter | a letter | dear {name}, {text} yours, {who}
formed | note in brackets | brackets | [{stem}]
formed | markup | markup | <p>{stem}</p>
formed | verse | two lines of verse | {one} / {two} /
formed | address | a web address behind | {stem} www.{tag}.com
chatty | mention | a mention and a tag | @{name} {text} #{tag}
chatty | retweet | a forwarded message | rt @{name}: {text}
chatty | fillers | fillers of speech | well, you know, {one}, i mean, {two}
chatty | laughing | laughter | lol {stem} haha
chatty | greeting | a greeting | hey guys, {text}
lyric | refrain | a refrain | {one}, oh yeah, {two}, yeah yeah
lyric | o in front | an apostrophe | o {where}! {text}
lyric | lo | it is beheld | lo and behold, {text}
lyric | scripture | as scripture | and it came to pass that {text}
lyric | fairy tale | as a fairy tale | once upon a time {text}
hedged | perhaps | doubt | perhaps {one}, or so it seems, {two}
hedged | academic | as a paper hedges | it may be argued, to some extent, that {text}
hedged | opinion | an opinion | in my humble opinion, {text}
hedged | emphasis | emphasis | truly and really, {text}
formal | legal | as a contract | whereas {one}, it is hereby agreed that {two}
formal | official | as an office | with reference to the above, {text}
formal | minutes | as minutes | it was resolved that {text}
"""
"""Kind, name, description and pattern of each."""


def _framed(text: str, name: str, pattern: str) -> str:
    """The ``text`` inside a ``pattern``."""
    rng = dice(text, name)
    inner = text if pattern.startswith("{text}") else lowered(text)
    stem, _ = ended(inner)
    words = inner.split()
    half = len(words) // 2
    parts = {
        "text": inner,
        "stem": stem,
        "one": " ".join(words[:half]),
        "two": " ".join(words[half:]),
    }
    drawn = {place: rng.choice(fillers) for place, fillers in FILLERS.items()}
    return _cased(pattern.format(**parts, **drawn), text)


def _cased(written: str, text: str) -> str:
    """What is ``written`` with a capital in front where the ``text`` has one."""
    return written[:1].upper() + written[1:] if text[:1].isupper() else written


def _rewriting(line: str) -> Rewriting:
    """What a line of `_PATTERNS` says."""
    kind, name, description, pattern = (part.strip() for part in line.split(" | ", 3))
    pattern = pattern.replace(r"\n", "\n")
    return Rewriting(name, kind, description, partial(_framed, name=name, pattern=pattern))


FRAMED: tuple[Rewriting, ...] = tuple(map(_rewriting, _PATTERNS.strip().splitlines()))
"""All of them."""
