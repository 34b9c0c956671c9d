"""Tries a template with pairs of conversations that differ in one word, or in the date.

Where the outputs differ in more than the word itself, the template reacts to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from plmscan.templates.conversations import FIELDS, GIVEN, SCENARIOS
from plmscan.templates.sandbox import CostError
from plmscan.templates.words import (
    HOLE,
    candidates,
    carrier,
    forms,
    is_markup,
    is_switch,
    masked,
    neutrals,
    prose,
    together,
    without_dates,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from plmscan.templates.conversations import Scenario
    from plmscan.templates.dataflow import Asking, Flow
    from plmscan.templates.watching import Rendered, Seen, Watched

__all__ = ["Effect", "Trials"]

_MOST_WORK = 5_000_000
"""Nodes and steps of all renderings together: three seconds, and six on a slow machine."""
_MOST_WORDS = 150
_LONGEST_WORD = 60
_EPOCH = range(1_000_000_000, 4_000_000_000)
_YEAR_DAYS = range(1, 367)
_MINUTES = range(60)
_MOST_OPTIONS = 24
_MOST_OFFSETS = 8
_LARGEST_SIZE = 3_000
_LARGEST_OFFSET = 300
_MOST_TAGS = 4
_SHOWN = 80
_SOME_PROSE = 3
"""Words that a template has to add where it finds markup, before that counts."""
_NO_FIELDS = frozenset({"name"})
"""Fields that hold an identifier rather than a text."""
_TOOL_NAMES = frozenset(
    {"all", "brave_search", "browser", "code_interpreter", "container", "execute", "exec"}
    | {"get_current_weather", "ipython", "python", "search", "web_search", "wolfram_alpha"}
)
"""Tools that models bring along: templates describe and print them in a way of their own."""
_SHAPES = (
    "q", "qq", "qqq", "Q", "QQ", "Qq", "qq qq", "Qq Qq", "qwq", "qwqw", "wq wq", "7", "42", "4.2",
    "0", "2", "3", "qq7", "q-q", " qq", "qq ", "QQ QQ", "qqqq", "w", "q" * 11, "q" * 60, "q " * 40,
)  # fmt: skip
_SHAPE_TEXT = re.compile(r"[qwQW\d.\-]+(?: [qwQW\d.\-]+)*")
_USUAL = tuple(s for s in SCENARIOS if s.name in ("plain", "tools"))
_DATE_FORMATS = ("%d %b %Y", "%Y-%m-%d", "%B %d, %Y", "%Y", "%d %B %Y", "%Y%m%d", "%d/%m/%Y")
_WRITTEN_DATES = (
    "%Y-%m-%d", "%d %b %Y", "%d %B %Y", "%B %d, %Y", "%d.%m.%Y", "%m/%d/%Y", "%Y/%m/%d",
    "%d/%m/%Y", "%Y-%m", "%d-%m-%Y", "%b %d", "%d %b", "%d %B", "%B %d", "%B %Y",
    "%H:%M", "%m-%d", "%d-%m", "%d.%m",
)  # fmt: skip


@dataclass(frozen=True)
class Effect:
    """What a template does when it meets a word or a date."""

    trigger: str
    """The word, or the date."""
    is_date: bool
    """Whether it is a date."""
    does: str
    """What it does then, as a part of a sentence."""


@dataclass(frozen=True)
class _Pair:
    """Two outputs that should say the same."""

    one: Rendered
    """With the word, or at one date."""
    other: Rendered
    """With a neutral word, or at another date."""
    hide: Callable[[str], str]
    """Takes out what may differ."""
    texts: tuple[str, str] = ("", "")
    """What was written into the conversation for each."""

    def differs(self, *, only_prose: bool) -> bool:
        """Whether they differ in more than they may."""
        if self.one == self.other:
            return False
        one, other = self.hide(self.one.text), self.hide(self.other.text)
        if only_prose:
            known = {*prose(self.texts[0]), *prose(self.texts[1]), *prose(other)}
            added = [word for word in prose(one) if word not in known]
            return not self.one.error and not self.other.error and len(added) >= _SOME_PROSE
        if self.one.error != self.other.error:
            return "refusal" in (self.one.error, self.other.error) or not self.other.error
        return one != other and not self._is_moved(one, other)

    def _is_moved(self, one: str, other: str) -> bool:
        """Whether only parts of what was written differ, of the same length."""
        if len(one) != len(other):
            return False
        texts = [text.casefold() for text in self.texts]
        return all(
            x.casefold() in texts[0] and y.casefold() in texts[1] for x, y in _changed(one, other)
        )

    def does(self) -> str:
        """What the template does in the first case."""
        if self.one.error == "refusal" and self.one.error != self.other.error:
            return f"refuses the conversation: {_shown(self.one.text)}"
        if self.one.error != self.other.error:
            return "does not render the conversation" if self.one.error else "renders it after all"
        one, other = self.hide(self.one.text), self.hide(self.other.text)
        added, gone = _middles(one, other)
        if len(one) >= len(other) and _piece(added):
            return f"adds {_shown(_piece(added))}"
        return f"leaves out {_shown(_piece(gone))}" if _piece(gone) else "changes its output"


class Trials:
    """All tries of one template."""

    def __init__(self, template: Watched, flow: Flow) -> None:
        """Tries of ``template``, from what is known about it."""
        self._template = template
        self._flow = flow
        self._keys = sorted(flow.keys)[:60]
        self._options = list(_variants(flow))
        self._tags = _tags(flow)
        self.effects: list[Effect] = []
        self._tried: set[tuple[str, bool]] = set()

    def run(self) -> None:
        """Look for effects of words, of the shape of a text, and of the date.

        Raises:
            CostError: it takes more work than any chat template needs.
        """
        askings = self._flow.askings
        if not askings:
            return
        self._survey()
        texts = [asking for asking in askings.values() if not asking.date]
        if not any(self._asks_words(key, a) for key, a in enumerate(askings.values())):
            texts = [asking for asking in texts if not _is_demanding(asking)]
        dates = [asking for asking in askings.values() if asking.date]
        if dates:
            self._try_dates(dates)
        if texts and not self.effects:
            self._try_texts(texts)

    def open_ones(self) -> list[Asking]:
        """Questions that no rendering until now showed to be harmless."""
        askings = self._flow.askings.values()
        return [a for key, a in enumerate(askings) if not _is_cleared(a, self._template.seen(key))]

    def _asks_words(self, key: int, asking: Asking) -> bool:
        """Whether a question for words is put to texts, as far as it was put to anything."""
        seen = self._template.seen(key)
        is_for_keys = asking.is_direct and seen.was_reached and not seen.was_scalar
        return not asking.date and not is_for_keys and _is_demanding(asking)

    def _survey(self) -> None:
        """Render every kind of conversation, to see which questions are asked."""
        usual = carrier([])
        for scenario, options in self._settings():
            self._render(scenario, lambda _field: usual, options)

    def _settings(self) -> Iterator[tuple[Scenario, Mapping[str, object]]]:
        """Kinds of conversations, and choices of options for the most usual kinds."""
        for scenario in SCENARIOS:
            yield scenario, self._options[0]
        for options in self._options[1:]:
            for scenario in _USUAL:
                yield scenario, options

    def _render(
        self,
        scenario: Scenario,
        said: Callable[[str], str],
        options: Mapping[str, object],
        now: datetime | None = None,
    ) -> Rendered:
        """One rendering."""
        if self._template.used > _MOST_WORK:
            msg = "more tries than there is time for"
            raise CostError(msg)
        given = {**GIVEN, **_undeclared(self._flow, said), **scenario.build(said, self._keys)}
        return self._template.render({**given, **options}, now)

    # Words -----------------------------------------------------------------------------------

    def _try_texts(self, askings: Sequence[Asking]) -> None:
        """Try what is asked for; then, where that leaves something open, all that could be."""
        words = {word for asking in askings for word in asking.words}
        numbers = {number for asking in askings for number in asking.numbers}
        turned = [word[::-1] for word in _by_kind(words) if not is_markup(word)]
        self._try_each([*_by_kind(words), *turned, *together(words)], words)
        own = self._own_words()
        seen = (self._template.seen(key) for key in self._keys_of_open())
        words |= {word for met in seen for word in met.words if word not in own}
        words |= {str(n) for n in numbers}
        self._try_each(_by_kind(words), words)
        if self.effects:
            return
        if any(asking.is_open or asking.numbers for asking in askings):
            self._try_shapes(askings)
        if any(not asking.date for asking in self.open_ones()) and not self.effects:
            more = candidates(words, numbers, self._flow.constants)
            self._try_each(more[:_MOST_WORDS], words, thoroughly=True)
        if not self.effects and any(self._is_blind(key) for key in self._keys_of_open()):
            rest = {w for w in self._flow.constants if not is_markup(w) and len(w) <= _LONGEST_WORD}
            more = candidates(rest, self._flow.numbers)[:_MOST_WORDS]
            self._try_each(more, rest, thoroughly=True)

    def _own_words(self) -> set[str]:
        """Texts and keys that the tries put in by themselves."""
        built = (scenario.build(lambda field: field, self._keys) for scenario in SCENARIOS)
        return {word for given in built for word in _texts_in(given)}

    def _is_blind(self, key: int) -> bool:
        """Whether it is unknown what an open question asks for, so that it could be anything."""
        asking, met = list(self._flow.askings.values())[key], self._template.seen(key)
        if asking.date or (asking.is_direct and met.was_reached and not met.was_scalar):
            return False
        return not _is_cleared(asking, met) or not (asking.words or met.words or asking.answers)

    def _keys_of_open(self) -> list[int]:
        """Places that ask for something that only rendering computes."""
        return [key for key, asking in enumerate(self._flow.askings.values()) if asking.is_open]

    def _try_each(
        self, words: Sequence[str], asked: Iterable[str], *, thoroughly: bool = False
    ) -> None:
        """Try words until one has an effect."""
        usual = carrier(asked)
        for word in words:
            if self.effects or (word, thoroughly) in self._tried or is_switch(word):
                continue
            self._tried.add((word, thoroughly))
            self._try_word(word, usual, thoroughly=thoroughly)

    def _try_word(self, word: str, usual: str, *, thoroughly: bool) -> None:
        """Try one word in every form, field and kind of conversation."""
        numbers = sorted(n for n in self._flow.numbers if 1 < abs(n) < _LARGEST_OFFSET)
        offsets = numbers[:_MOST_OFFSETS] if thoroughly else []
        markup = () if is_markup(word) else self._tags
        for text in list(forms(word, usual, offsets, markup))[: 2 if is_markup(word) else None]:
            pair = self._pair(word, text, usual)
            if pair is not None:
                self.effects.append(Effect(repr(word), is_date=False, does=pair.does()))
                return

    def _selections(
        self, word: str, text: str
    ) -> Iterator[tuple[Scenario, frozenset[str], Mapping[str, object]]]:
        """Where to put the text: everywhere, then in one field at a time."""
        everywhere = frozenset(FIELDS) - _NO_FIELDS
        for scenario in SCENARIOS:
            yield scenario, everywhere, self._options[0]
        is_usual = text == word or (text.find(word) > 0 and not text.endswith(word))
        if is_markup(word) or not is_usual:
            return
        for options in self._options[1:] if text == word else ():
            for scenario in _USUAL:
                yield scenario, everywhere, options
        for scenario in _USUAL:
            for field in FIELDS:
                if field not in _NO_FIELDS or (text == word and word not in _TOOL_NAMES):
                    yield scenario, frozenset({field}), self._options[0]

    def _pair(self, word: str, text: str, usual: str) -> _Pair | None:
        """The first pair of outputs that differ; None if none do."""
        only_prose = is_markup(word)
        twins = neutrals(word)[: 1 if only_prose else 2]
        twins = twins or ["q" * len(word)]
        texts = [text, *(text.replace(word, twin) for twin in twins)]

        def hide(output: str) -> str:
            """An output without the word and its twins."""
            return masked(output, [word, *twins, usual])

        for scenario, fields, options in self._selections(word, text):
            outputs = [self._render(scenario, _saying(t, usual, fields), options) for t in texts]
            for other, neutral in zip(outputs[1:], texts[1:], strict=True):
                pair = _Pair(outputs[0], other, hide, (f"{text} {usual}", f"{neutral} {usual}"))
                if pair.differs(only_prose=only_prose):
                    return pair
        return None

    # Shapes ----------------------------------------------------------------------------------

    def _try_shapes(self, askings: Sequence[Asking]) -> None:
        """Try texts of different lengths, cases and repetitions."""
        sizes = {n for a in askings for n in a.numbers if 1 < abs(n) <= _LARGEST_SIZE}
        texts = [*_SHAPES, *_sized(sorted(sizes)[:_MOST_OFFSETS])]
        fields = frozenset({"user", "last", "assistant", "system", "tool", "document"})
        for scenario in _USUAL:
            for chosen in (fields, frozenset({"last", "user"})):
                said = [_saying(text, "qq", chosen) for text in texts]
                outputs = [self._render(scenario, s, self._options[0]) for s in said]
                for (one, other), text in zip(pairwise(outputs), texts[1:], strict=True):
                    pair = _Pair(other, one, _without_shapes)
                    if pair.differs(only_prose=False):
                        what = f"texts such as {_shown(text)}"
                        self.effects.append(Effect(what, is_date=False, does=pair.does()))
                        return

    # Dates -----------------------------------------------------------------------------------

    def _try_dates(self, askings: Sequence[Asking]) -> None:
        """Render at many dates."""
        numbers = self._flow.numbers | {
            int(digits)
            for asking in askings
            for word in asking.words
            for digits in re.findall(r"\d{1,10}", word)
        }
        words = {word for asking in askings for word in asking.words}
        own = tuple(c for c in self._flow.constants if "%" in c and len(c) <= _LONGEST_WORD)
        dates = list(_dates(numbers, words, (*_WRITTEN_DATES, *own)))
        clocks = sorted(self._flow.clocks)
        for style in _DATE_FORMATS if clocks else (None,):
            for scenario in _USUAL:
                for options in self._options[:3]:
                    if self._try_clock(scenario, options, dates, style, clocks):
                        return

    def _try_clock(
        self,
        scenario: Scenario,
        options: Mapping[str, object],
        dates: Sequence[datetime],
        style: str | None,
        clocks: Sequence[str],
    ) -> bool:
        """Render at every date; whether the outputs differ."""
        usual = carrier([])
        first: Rendered | None = None
        for now in dates:
            told = {name: now.strftime(style) for name in clocks} if style else {}
            output = self._render(scenario, lambda _field: usual, {**options, **told}, now)
            first = first or output
            pair = _Pair(output, first, lambda text: masked(without_dates(text), [usual]))
            if pair.differs(only_prose=False):
                date = now.strftime("%Y-%m-%d %H:%M")
                self.effects.append(Effect(date, is_date=True, does=pair.does()))
                return True
        return False


def _tags(flow: Flow) -> list[str]:
    """Markup that the template asks for, beside which a word may count."""
    asked = {word for asking in flow.askings.values() for word in asking.words}
    return sorted(tag for tag in asked if is_markup(tag) and tag.strip())[:_MOST_TAGS]


def _variants(flow: Flow) -> Iterator[dict[str, object]]:
    """Choices of the variables that a program may set."""
    free = {
        name: values
        for name, values in sorted(flow.options.items())
        if name not in GIVEN and name not in flow.clocks and name not in flow.inputs
    }  # fmt: skip
    yield {}
    choices: list[dict[str, object]] = [dict.fromkeys(free, True)] if free else []
    choices += [{name: value} for name, vs in free.items() for value in sorted(vs, key=repr)]
    choices += [{name: chosen} for chosen in (True, False) for name in free]
    yield from choices[:_MOST_OPTIONS]


def _undeclared(flow: Flow, said: Callable[[str], str]) -> dict[str, object]:
    """Variables by which a program hands over what somebody wrote, beside the messages."""
    return {name: said("system") for name in flow.inputs if not name.endswith("s")}


def _saying(text: str, usual: str, fields: frozenset[str]) -> Callable[[str], str]:
    """``text`` in some fields, a usual one in the others."""

    def said(field: str) -> str:
        """What is written in a field."""
        if field in fields:
            return text
        return "helper" if field in _NO_FIELDS else usual

    return said


def _texts_in(value: object) -> Iterator[str]:
    """All texts and keys of a conversation."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        items = value if isinstance(value, list) else [*value.keys(), *value.values()]
        for item in items:
            yield from _texts_in(item)


def _by_kind(words: Iterable[str]) -> list[str]:
    """Words, then markup."""
    return sorted(set(words), key=lambda word: (is_markup(word), len(word), word))


def _is_demanding(asking: Asking) -> bool:
    """Whether it asks for more than markup."""
    is_open = asking.is_open and not asking.is_mutual
    return is_open or bool(asking.numbers) or not all(map(is_markup, asking.words))


def _is_cleared(asking: Asking, met: Seen) -> bool:
    """Whether the tries showed a question to be harmless: they met both of its answers."""
    if not (_is_demanding(asking) or asking.date):
        return True
    if not met.was_reached:
        return False
    return asking.is_direct or not asking.answers or len(met.outcomes) > 1


def _sized(sizes: Iterable[int]) -> Iterator[str]:
    """Texts around some lengths, in letters, words and lines."""
    for size in sizes:
        for number in (abs(size) - 1, abs(size), abs(size) + 1):
            yield "q" * number
            yield " ".join(["q"] * number)
    yield "\n".join(["q"] * 12)


def _without_shapes(text: str) -> str:
    """An output without what `_SHAPES` put in, and without white space."""
    return re.sub(r"(?:\s|\\n)+", "", _SHAPE_TEXT.sub("", text))


def _dates(
    numbers: Iterable[int], words: Iterable[str], patterns: Sequence[str]
) -> Iterator[datetime]:
    """Dates far and near, and those that a template could mean by its constants."""
    start = datetime(2024, 1, 1, 0, 0, 0, tzinfo=UTC)
    yield datetime(2026, 3, 18, 10, 20, 30, tzinfo=UTC)
    yield from (
        datetime(year, 6, 15, 12, 30, 15, tzinfo=UTC)
        for year in (*range(2020, 2046), *range(2050, 2101, 10))
    )
    yield from (start.replace(month=month, day=8) for month in range(1, 13))
    yield from (start + timedelta(days=day, hours=day % 24, minutes=2 * day) for day in range(31))
    yield from (start + timedelta(hours=hour) for hour in range(24))
    for digit in range(1, 10):
        yield from (
            datetime(2020 + digit, digit, d + digit, digit, tzinfo=UTC) for d in (0, 10, 19)
        )
    for number in sorted(numbers):
        for date in _meant(number):
            yield from _around(date)
    for word in words:
        for date in _written(word, patterns):
            yield from _around(date)


def _around(date: datetime) -> Iterator[datetime]:
    """A date, and the days before and after it."""
    for days in (-1, 0, 1):
        try:
            yield date + timedelta(days=days)
        except OverflowError:
            continue


def _meant(number: int) -> Iterator[datetime]:
    """Dates that a number may stand for."""
    text = str(abs(number))
    patterns = {4: ("%Y", "%m%d", "%H%M"), 6: ("%Y%m", "%y%m%d"), 8: ("%Y%m%d", "%d%m%Y")}
    for pattern in patterns.get(len(text), ()):
        yield from _parsed(text, pattern)
    if number in _EPOCH:
        yield datetime.fromtimestamp(number, UTC)
    if number in _YEAR_DAYS:
        yield datetime(2028, 1, 1, tzinfo=UTC) + timedelta(days=number - 1)
    if number in _MINUTES:
        yield datetime(2028, 1, 1, number % 24, number, number, tzinfo=UTC)


def _written(word: str, patterns: Iterable[str]) -> Iterator[datetime]:
    """Dates that a text may stand for, as ``patterns`` write them."""
    for pattern in patterns:
        yield from _parsed(word.strip(), pattern)


def _parsed(text: str, pattern: str) -> Iterator[datetime]:
    """A date as a pattern reads it, if it does."""
    year = "" if "%Y" in pattern or "%y" in pattern else "2028 "
    try:
        yield datetime.strptime(year + text, ("%Y " if year else "") + pattern).replace(tzinfo=UTC)
    except (ValueError, re.error):
        return


def _changed(one: str, other: str) -> Iterator[tuple[str, str]]:
    """The stretches in which two texts of the same length differ."""
    start = 0
    for differs, run in groupby(zip(one, other, strict=True), lambda pair: pair[0] != pair[1]):
        end = start + len(list(run))
        if differs:
            yield one[start:end], other[start:end]
        start = end


def _middles(one: str, other: str) -> tuple[str, str]:
    """What is left of two texts without what they begin and end with alike."""
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    end = 0
    while end < min(len(one), len(other)) - start and one[-1 - end] == other[-1 - end]:
        end += 1
    return one[start : len(one) - end], other[start : len(other) - end]


def _piece(text: str) -> str:
    """The first stretch of a masked text that is no part of what was put in."""
    return next((part.strip() for part in text.split(HOLE) if part.strip()), "")


def _shown(text: str) -> str:
    """The beginning of a text, on one line, in quotes."""
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= _SHOWN else flat[: _SHOWN - 1] + "…")
