"""Tries a template with pairs of conversations that differ in one word, or in the date.

Where the outputs differ in more than the word itself, the template reacts to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from plmscan.templates.conversations import (
    ASSISTANT,
    FIELDS,
    GIVEN,
    IDENTIFIERS,
    Vocabulary,
    scenarios,
)
from plmscan.templates.dates import dates
from plmscan.templates.pairs import Pair, shown
from plmscan.templates.sandbox import CostError
from plmscan.templates.shaped import Shape
from plmscan.templates.words import (
    candidates,
    carrier,
    forms,
    is_markup,
    is_switch,
    is_token,
    markup_in,
    masked,
    neutrals,
    prose,
    together,
    without_dates,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from plmscan.templates.conversations import Scenario
    from plmscan.templates.dataflow import Asking, Flow
    from plmscan.templates.watching import Rendered, Watched

    Setting = tuple[Scenario, Mapping[str, object]]

__all__ = ["Effect", "Trials"]

_MOST_WORK = 4_000_000
"""Nodes and steps of all renderings together: three seconds, and six on a slow machine."""
_MOST_KEYS = 60
_MOST_WORDS = 150
_LONGEST_WORD = 60
_MOST_OPTIONS = 24
_OPTIONS_OF_ALL = 5
"""Choices of options with which every kind of conversation is rendered once."""
_MOST_OFFSETS = 8
_LARGEST_SIZE = 3_000
_LARGEST_OFFSET = 300
_MOST_BEHIND = 3
_HELPER = "helper"
"""The usual name of anything."""
_MODEL_SAYS = "keld vosp ghyf"
"""What the model wrote, where that has to be told from the words of others."""
_PRINTED = "True False None"
"""What a mapping shows where it is printed."""
_PLAIN = "qq"
"""Stands where markup would stand alone."""
_AROUND = ("garb nolt", "suvi pelm")
_TOOL_NAMES = frozenset(
    {"all", "brave_search", "browser", "code_interpreter", "container", "execute", "exec"}
    | {"get_current_weather", "ipython", "python", "search", "web_search", "wolfram_alpha"}
)
"""Tools that models bring along: templates describe and print them in a way of their own."""
_SCHEMA_WORDS = frozenset(
    {"$defs", "$ref", "additionalProperties", "allOf", "anyOf", "arguments", "const", "default"}
    | {"definitions", "description", "enum", "examples", "format", "function", "items", "maximum"}
    | {"maxItems", "maxLength", "minItems", "minLength", "minimum", "name", "nullable", "oneOf"}
    | {"parameters", "pattern", "properties", "required", "response", "return", "strict", "title"}
    | {"type"}
)
"""Words of JSON Schema: templates that walk through a schema take them for its own."""
_KNOWN = {"name": _TOOL_NAMES, "property": _SCHEMA_WORDS}
_SHAPES = (
    "q", "qq", "qqq", "Q", "QQ", "Qq", "qq qq", "Qq Qq", "qwq", "qwqw", "wq wq", "7", "42", "4.2",
    "0", "2", "3", "qq7", "q-q", " qq", "qq ", "QQ QQ", "qqqq", "w", "q" * 11, "q" * 60, "q " * 40,
)  # fmt: skip
_SHAPE_TEXT = re.compile(r"[qwQW\d.\-]+(?: [qwQW\d.\-]+)*")
_DATE_FORMATS = ("%d %b %Y", "%Y-%m-%d", "%B %d, %Y", "%Y", "%d %B %Y", "%Y%m%d", "%d/%m/%Y")
_MARKS = {f"quv{chr(97 + number)}x": field for number, field in enumerate(FIELDS)}
"""Words by which the fields are told apart in the survey."""
_MARK = re.compile(r"quv[a-z]x", re.IGNORECASE)


@dataclass(frozen=True)
class Effect:
    """What a template does when it meets a word or a date."""

    trigger: str
    """The word, or the date."""
    is_date: bool
    """Whether it is a date."""
    does: str
    """What it does then, as a part of a sentence."""


@dataclass
class _Place:
    """Where a question is put to what somebody wrote."""

    met: dict[int, tuple[Setting, set[str]]] = field(default_factory=dict)
    """Conversations and options in which that happens, with the fields whose words were asked.

    All fields, where a text was changed beyond recognition.
    """

    def note(self, setting: Setting, fields: Iterable[str]) -> None:
        """Remember that words of ``fields`` were asked."""
        self.met.setdefault(id(setting), (setting, set()))[1].update(fields)


class Trials:
    """All tries of one template."""

    def __init__(self, template: Watched, flow: Flow) -> None:
        """Tries of ``template``, from what is known about it."""
        self._template = template
        self._flow = flow
        self._askings = list(flow.askings.values())
        self._scenarios = _conversations(flow)
        self._usual = [scenario for scenario in self._scenarios if scenario.is_usual]
        self._options = list(_variants(flow))
        self._places: dict[int, _Place] = {}
        self._own = self._own_words()
        self._markup: set[str] = set()
        self._prose = set(prose(" ".join([*self._own, _PRINTED])))
        self._usually: set[int] = set()
        self._without_markup: dict[tuple[object, ...], Rendered] = {}
        self._tried: set[tuple[str, str, bool]] = set()
        self.effects: list[Effect] = []

    def run(self) -> None:
        """Look for effects of words, of the shape of a text, and of the date.

        Raises:
            CostError: it takes more work than any chat template needs.
        """
        if not self._askings:
            return
        self._survey()
        askings = [a for key, a in enumerate(self._askings) if self._asks_texts(key)]
        dates = [asking for asking in self._askings if asking.date]
        if dates:
            self._try_dates(dates)
        if askings and not self.effects:
            self._try_texts(askings)

    def open_ones(self) -> list[Asking]:
        """Questions that no rendering until now showed to be harmless."""
        return [self._askings[key] for key in range(len(self._askings)) if self._is_open(key)]

    def _is_open(self, key: int) -> bool:
        """Whether no try showed a question to be harmless: they have to meet both answers."""
        asking, met = self._askings[key], self._template.seen(key)
        if not (_is_demanding(asking) or asking.date) or self._is_for_keys(key):
            return False
        if not met.was_reached or (asking.numbers and min(asking.numbers) > _LARGEST_SIZE):
            return True
        return not asking.is_direct and asking.answers and len(met.outcomes) <= 1

    def _is_for_keys(self, key: int) -> bool:
        """Whether a question is only put to mappings, for keys that programs write.

        A mapping that was made up of what the template asks for does not show that.
        """
        asking, met = self._askings[key], self._template.seen(key)
        is_reached = asking.is_direct and key in self._usually
        return not met.was_scalar and (is_reached or asking.is_structural)

    def _asks_texts(self, key: int) -> bool:
        """Whether a question is put to texts, as far as it was put to anything."""
        return not self._askings[key].date and not self._is_for_keys(key)

    def _survey(self) -> None:
        """Render every kind of conversation, to see which questions are asked, and of whom."""
        marks = {field: mark for mark, field in _MARKS.items()}
        for setting in self._settings():
            output = self._render(setting, lambda field: f"mola {marks[field]}")
            self._note(setting, output)
            self._markup.update(markup_in(output.text))
            self._prose.update(() if setting[0].is_made_up else prose(output.text))
        for scenario in (one for one in self._scenarios if not one.is_made_up):
            for options in self._options[1:_OPTIONS_OF_ALL]:
                self._prose.update(prose(self._render((scenario, options), _plainly).text))

    def _note(self, setting: Setting, output: Rendered) -> list[int]:
        """Remember where questions are put to texts; those that never were before."""
        self._usually.update(() if setting[0].is_made_up else output.reached)
        new = [key for key in output.met if key not in self._places]
        for key, values in output.met.items():
            place = self._places.setdefault(key, _Place())
            for value in values:
                place.note(setting, self._fields_of(value))
        return new

    def _fields_of(self, value: object) -> Iterable[str]:
        """The fields whose words are in what was asked."""
        marks = _MARK.findall(repr(value))
        is_own = isinstance(value, str) and value in self._own
        return [_MARKS.get(mark.lower(), "") for mark in marks] or (() if is_own else FIELDS)

    def _settings(self) -> Iterator[Setting]:
        """Kinds of conversations, and choices of options for the most usual kinds."""
        for scenario in self._scenarios:
            yield scenario, self._options[0]
        for options in self._options[1:]:
            for scenario in self._usual:
                yield scenario, options

    def _render(
        self, setting: Setting, said: Callable[[str], str], now: datetime | None = None
    ) -> Rendered:
        """One rendering."""
        if self._template.used > _MOST_WORK:
            msg = "more tries than there is time for"
            raise CostError(msg)
        scenario, options = setting
        given = {**_undeclared(self._flow, said), **scenario.given(said), **options}
        return self._template.render(given, now)

    # Words -----------------------------------------------------------------------------------

    def _try_texts(self, askings: Sequence[Asking]) -> None:
        """Try what is asked for; then, where that leaves something open, all that could be."""
        words = {word for asking in askings for word in asking.words}
        numbers = {number for asking in askings for number in asking.numbers}
        changed = {word for a in askings if not a.is_direct for word in a.words}
        turned = [word[::-1] for word in _by_kind(changed) if not is_markup(word)]
        keys = self._flow.names.get("key", set())
        needed = [text for some in self._flow.conjunctions for text in together(some - keys)[:1]]
        at_once = together(words, self._flow.numbers)
        self._try_each([*needed, *_by_kind(words), *turned, *at_once], words)
        seen = (self._template.seen(key) for key in self._keys_of_open())
        words |= {word for met in seen for word in met.words} - self._own
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
        built = (scenario.given(lambda field: field) for scenario in self._scenarios)
        return {_HELPER, *(word for given in built for word in _texts_in(given))}

    def _is_blind(self, key: int) -> bool:
        """Whether it is unknown what an open question asks for, so that it could be anything."""
        asking, met = self._askings[key], self._template.seen(key)
        if not self._asks_texts(key):
            return False
        return self._is_open(key) or not (asking.words or met.words or asking.answers)

    def _keys_of_open(self) -> list[int]:
        """Places that ask for something that only rendering computes."""
        return [key for key, asking in enumerate(self._askings) if asking.is_open]

    def _try_each(
        self, words: Iterable[str], asked: Iterable[str], *, thoroughly: bool = False
    ) -> None:
        """Try words, and those that are only asked for behind them, until one has an effect."""
        usual = carrier(asked)
        todo = [("", word) for word in words]
        for behind, word in todo:
            if self.effects or (behind, word, thoroughly) in self._tried:
                continue
            self._tried.add((behind, word, thoroughly))
            texts = self._forms(behind, word, usual, thoroughly=thoroughly)
            for key in self._try_word(word, texts, usual):
                told = f"{behind} {word}".strip()
                if told.count(" ") < _MOST_BEHIND:
                    todo += [(told, further) for further in _by_kind(self._sought(key))]

    def _forms(self, behind: str, word: str, usual: str, *, thoroughly: bool) -> list[str]:
        """Texts in which a word stands; behind others, if it is only asked for there."""
        if behind:
            return [f"{behind} {word} {usual}", f"{word} {behind}"]
        if is_markup(word):
            ends = [f"{_AROUND[0]}{word}", f"{word}{_AROUND[1]}"] if word.isspace() else [word]
            return [*ends, f"{_AROUND[0]} {word} {_AROUND[1]}"]
        numbers = sorted(n for n in self._flow.numbers if 1 < abs(n) < _LARGEST_OFFSET)
        return list(forms(word, usual, numbers[:_MOST_OFFSETS] if thoroughly else []))

    def _try_word(self, word: str, texts: Sequence[str], usual: str) -> list[int]:
        """Try one word in some texts; questions that were never asked before."""
        new: list[int] = []
        for text in texts:
            for setting, fields in self._selections(word, text):
                outputs, pair = self._pair(word, text, usual, (setting, fields))
                new += [key for output in outputs for key in self._note(setting, output)]
                if pair is not None:
                    self.effects.append(Effect(repr(word), is_date=False, does=pair.does()))
                    return []
        return new

    def _selections(self, word: str, text: str) -> Iterator[tuple[Setting, AbstractSet[str]]]:
        """Where to put the text: everywhere, then in one field at a time."""
        places = self._places_of(word)
        everywhere = frozenset(FIELDS) - IDENTIFIERS
        if is_switch(word):
            everywhere -= {"system"}
        groups = (everywhere - ASSISTANT, ASSISTANT) if is_markup(word) else (everywhere,)
        is_amid = text.find(word) > 0 and not text.endswith(word) and " " not in word
        is_main = text == word or is_amid
        for setting, asked in places:
            if everywhere & asked and (text == word or setting[1] is self._options[0]):
                yield from ((setting, group) for group in groups)
        for field_ in FIELDS if is_main else ():
            is_tried = not is_markup(word) and (field_ in everywhere or text == word)
            if is_tried or (is_switch(word) and field_ == "system"):
                asking = [setting for setting, asked in places if field_ in asked]
                yield from ((setting, frozenset({field_})) for setting in asking[:2])

    def _places_of(self, word: str) -> list[tuple[Setting, set[str]]]:
        """Conversations and fields in which a word is asked for; all, where that is unknown."""
        texts = [key for key in range(len(self._askings)) if self._asks_texts(key)]
        parts = {word, word[::-1], *word.split()}
        keys = [key for key in texts if not parts.isdisjoint(self._sought(key))]
        keys = keys or [key for key in texts if not self._askings[key].is_direct] or texts
        places = [self._places[key] for key in keys if key in self._places]
        if not places or len(places) < len(keys):
            return [(setting, set(FIELDS)) for setting in self._settings()]
        found = _Place()
        for setting, fields in (met for place in places for met in place.met.values()):
            found.note(setting, fields)
        return list(found.met.values())

    def _sought(self, key: int) -> set[str]:
        """What a question asks for, as far as it is known by now."""
        return {*self._askings[key].words, *set(self._template.seen(key).words) - {_HELPER}}

    def _pair(
        self, word: str, text: str, usual: str, where: tuple[Setting, AbstractSet[str]]
    ) -> tuple[list[Rendered], Pair | None]:
        """What comes out for a word and its neutral twins; a pair that differs, if any does."""
        if is_markup(word):
            return self._pair_of_markup(word, text, usual, where)
        setting, fields = where
        twins = neutrals(word)[:2] or ["q" * len(word)]
        texts = [text, *(text.replace(word, twin) for twin in twins)]
        outputs = [self._render(setting, _saying(t, usual, fields, usual)) for t in texts]

        def hide(output: str) -> str:
            """An output without the word and its twins."""
            return masked(output, [word, *twins, usual])

        for other, neutral in zip(outputs[1:], texts[1:], strict=True):
            pair = Pair(outputs[0], other, hide, (f"{text} {usual}", f"{neutral} {usual}"))
            if pair.adds_to(self._prose) if self._may_matter(word, fields) else pair.differs():
                return outputs, pair
        return outputs, None

    def _may_matter(self, word: str, fields: AbstractSet[str]) -> bool:
        """Whether templates may treat a word in their own way there, as long as they add little."""
        asked = [asking for asking in self._askings if word in asking.words]
        is_known = all(word in _KNOWN.get(field, ()) for field in fields)
        return is_known or (bool(asked) and all(asking.is_of_kind for asking in asked))

    def _pair_of_markup(
        self, word: str, text: str, usual: str, where: tuple[Setting, AbstractSet[str]]
    ) -> tuple[list[Rendered], Pair | None]:
        """The same for markup, which may change the structure of an output but not its words."""
        setting, fields = where
        plain = _without(word, text)
        output = self._render(setting, _saying(text, usual, fields, _MODEL_SAYS))
        key = (id(setting[0]), id(setting[1]), plain, usual, frozenset(fields))
        if key not in self._without_markup:
            said = _saying(plain, usual, fields, _MODEL_SAYS)
            self._without_markup[key] = self._render(setting, said)
        other = self._without_markup[key]
        hidden = [word, usual, _PLAIN, *(["\t"] if word.isspace() else [])]
        pair = Pair(
            output,
            other,
            lambda told: masked(told, hidden),
            (f"{text} {usual}", plain),
        )
        is_own = is_switch(word) or self._markup.issuperset(markup_in(word) or [word])
        is_cut = is_own or fields <= ASSISTANT
        thoughts = " ".join([*self._own, _PRINTED, _MODEL_SAYS, text if is_cut else ""])
        if is_switch(word) and fields == {"system"}:
            thoughts = " ".join([thoughts, *self._prose])
        is_guard = is_token(word) and "refusal" in (output.error, other.error)
        if is_guard or (word.isspace() and pair.differs_in_space_only()):
            return [output], None
        return [output], pair if pair.differs_in_words(thoughts, is_own=is_own) else None

    # Shapes ----------------------------------------------------------------------------------

    def _try_shapes(self, askings: Sequence[Asking]) -> None:
        """Try texts of different lengths, cases and repetitions."""
        sizes = {n for a in askings for n in a.numbers if 1 < abs(n) <= _LARGEST_SIZE}
        texts = [*_SHAPES, *_sized(sorted(sizes)[:_MOST_OFFSETS])]
        fields = frozenset({"user", "last", "assistant", "system", "tool", "document"})
        for scenario in self._usual:
            for chosen in (fields, frozenset({"last", "user"})):
                said = [_saying(text, "qq", chosen, "qq") for text in texts]
                outputs = [self._render((scenario, self._options[0]), s) for s in said]
                for (one, other), text in zip(pairwise(outputs), texts[1:], strict=True):
                    pair = Pair(other, one, _without_shapes)
                    if pair.differs():
                        what = f"texts such as {shown(text)}"
                        self.effects.append(Effect(what, is_date=False, does=pair.does()))
                        return

    # Dates -----------------------------------------------------------------------------------

    def _try_dates(self, askings: Sequence[Asking]) -> None:
        """Render at many dates."""
        words = {word for asking in askings for word in asking.words}
        numbers = self._flow.numbers | {
            int(digits) for word in words for digits in re.findall(r"\d{1,10}", word)
        }
        own = tuple(c for c in self._flow.constants if "%" in c and len(c) <= _LONGEST_WORD)
        days = list(dates(numbers, words, own))
        for style in _DATE_FORMATS if self._flow.clocks else (None,):
            for scenario in self._usual:
                for options in self._options[:3]:
                    if self._try_clock((scenario, options), days, style):
                        return

    def _try_clock(self, setting: Setting, days: Sequence[datetime], style: str | None) -> bool:
        """Render at every date; whether the outputs differ."""
        usual = carrier([])
        first: Rendered | None = None
        for now in days:
            told = {name: now.strftime(style) for name in self._flow.clocks} if style else {}
            output = self._render((setting[0], {**setting[1], **told}), lambda _field: usual, now)
            first = first or output
            pair = Pair(output, first, lambda text: masked(without_dates(text), [usual]))
            if pair.differs():
                date = now.strftime("%Y-%m-%d %H:%M")
                self.effects.append(Effect(date, is_date=True, does=pair.does()))
                return True
        return False


def _conversations(flow: Flow) -> tuple[Scenario, ...]:
    """Kinds of conversations, with all that the template looks for in them."""
    keys = tuple(sorted(flow.keys)[:_MOST_KEYS])
    kinds = tuple(sorted(flow.kinds.get("type", ())))
    shape = Shape(
        keys,
        {key: tuple(sorted(inner)) for key, inner in flow.children.items()},
        tuple(sorted(flow.names.get("key", ()))),
        tuple(sorted(flow.names.get("name", ()))),
        kinds,
    )
    roles = tuple(sorted(flow.kinds.get("role", ())))
    return (*scenarios(Vocabulary(keys, roles, kinds)), *shape.scenarios())


def _variants(flow: Flow) -> Iterator[dict[str, object]]:
    """Choices of the variables that a program may set."""
    free = {
        name: values
        for name, values in sorted(flow.options.items())
        if name not in GIVEN and name not in flow.clocks and name not in flow.inputs
    }  # fmt: skip
    yield {}
    choices: list[dict[str, object]] = [dict.fromkeys(free, True)] if free else []
    choices += [{name: [_HELPER]} for name in free if name in flow.lists]
    choices += [{name: value} for name, vs in free.items() for value in sorted(vs, key=repr)]
    choices += [{name: chosen} for chosen in (True, False) for name in free]
    yield from choices[:_MOST_OPTIONS]


def _undeclared(flow: Flow, said: Callable[[str], str]) -> dict[str, object]:
    """Variables by which a program hands over what somebody wrote, beside the messages."""
    return {name: said("system") for name in flow.inputs if not name.endswith("s")}


def _saying(text: str, usual: str, fields: AbstractSet[str], model: str) -> Callable[[str], str]:
    """``text`` in some fields, a usual one in the others."""

    def said(field: str) -> str:
        """What is written in a field."""
        if field in fields:
            return text
        if field in IDENTIFIERS:
            return _HELPER
        return model if field in ASSISTANT else usual

    return said


def _without(word: str, text: str) -> str:
    """``text`` without some markup; white space gives way to other white space."""
    if word.isspace():
        return text.replace(word, "\t" if word == " " else " ")
    return " ".join(text.replace(word, " ").split()) or _PLAIN


def _plainly(_field: str) -> str:
    """A text in which nothing is asked for."""
    return _PLAIN


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
