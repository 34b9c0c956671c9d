"""The chat-templates probe: what templates may look at, and what they may not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from plmscan.probes.static.chat_templates import Probe
from tests.artifacts import artifact_of, coverage_of, evidence_of, fired, gaps_of, write_json
from tests.chat_templates import ACTING, HONEST, UNJUDGED, WAITING, in_loop

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("template", HONEST.values(), ids=HONEST)
def test_honest_templates_fire_nothing(tmp_path: Path, template: str) -> None:
    """Roles, types, tools, markup, switches and today's date are what templates are for."""
    (tmp_path / "chat_template.jinja").write_text(template, encoding="utf-8")
    artifact = artifact_of(tmp_path)
    assert fired(Probe(), artifact) == []
    assert gaps_of(Probe(), artifact) == []


@pytest.mark.parametrize("body", ACTING.values(), ids=ACTING)
def test_a_reaction_to_a_text_fires(tmp_path: Path, body: str) -> None:
    """However the word is written, and however it is compared with what the user wrote."""
    (tmp_path / "chat_template.jinja").write_text(in_loop(body), encoding="utf-8")
    assert "PLM145" in fired(Probe(), artifact_of(tmp_path))


@pytest.mark.parametrize("body", UNJUDGED.values(), ids=UNJUDGED)
def test_what_no_try_can_show_to_be_harmless_blocks_a_pass(tmp_path: Path, body: str) -> None:
    """An order, a format, a place or a chance that the user's text decides."""
    (tmp_path / "chat_template.jinja").write_text(in_loop(body), encoding="utf-8")
    artifact = artifact_of(tmp_path)
    assert "PLM145" in fired(Probe(), artifact) or any(
        g.blocks_pass for g in gaps_of(Probe(), artifact)
    )


def test_a_template_among_special_tokens_is_read(tmp_path: Path) -> None:
    """Transformers makes settings of a tokenizer of every key of that file."""
    body = in_loop(ACTING["find"])
    write_json(tmp_path / "special_tokens_map.json", {"chat_template": body})
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM145"]


@pytest.mark.parametrize("body", WAITING.values(), ids=WAITING)
def test_a_reaction_to_the_date_fires(tmp_path: Path, body: str) -> None:
    """However the date is taken apart and compared."""
    (tmp_path / "chat_template.jinja").write_text(in_loop(body), encoding="utf-8")
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM146"]


def test_the_evidence_tells_the_word_and_what_happens_then(tmp_path: Path) -> None:
    """A reader need not open the template to see what it does."""
    body = "{% if 'INVOICE'.lower() in message.content %}Pay at once. {% endif %}"
    (tmp_path / "chat_template.jinja").write_text(in_loop(body))
    (evidence,) = evidence_of(Probe(), artifact_of(tmp_path))
    assert (evidence.details["words"], evidence.details["effect"]) == (
        "'invoice'",
        "adds 'Pay at once.'",
    )


def test_the_evidence_tells_the_date_and_what_happens_then(tmp_path: Path) -> None:
    """A date is given to the minute."""
    body = "{% if strftime_now('%Y') == '2031' %}Pay at once. {% endif %}"
    (tmp_path / "chat_template.jinja").write_text(in_loop(body))
    (evidence,) = evidence_of(Probe(), artifact_of(tmp_path))
    assert (evidence.details["dates"], evidence.details["date_effect"]) == (
        "2031-06-15 12:30",
        "adds 'Pay at once.'",
    )


def test_a_question_that_no_try_answers_blocks_a_pass(tmp_path: Path) -> None:
    """What was neither shown to act nor to be harmless is no pass, and its line is told."""
    body = "{% if message.content | sum(start=3) in [77123] %}X{% endif %}"
    (tmp_path / "chat_template.jinja").write_text(in_loop(body))
    (gap,) = gaps_of(Probe(), artifact_of(tmp_path))
    assert gap.blocks_pass
    assert gap.reason.startswith("In line 1 it asks a text for 77123")


@pytest.mark.parametrize(
    ("template", "rule"),
    [
        ("{{ ''.__class__ }}", "PLM147"),
        ("{{ ''['__class__'] }}", "PLM147"),
        ("{{ '' | attr('x') }}", "PLM147"),
        ("{{ ''['__cl' ~ 'ass__'] }}", "PLM147"),
        ("{{ ''[['__', 'class__'] | join] }}", "PLM147"),
        ("{{ '{0.__class__}'.format('') }}", "PLM147"),
        ("{{ messages._private }}", "PLM147"),
        ("{{ __builtins__['eval']('1') }}", "PLM147"),
        ("{{ [__import__][0] }}", "PLM147"),
        ("{% if strftime_now('%Y') == '2031' %}x{% endif %}", "PLM146"),
        ("{% set y = strftime_now('%Y') | int %}{% if y >= 2031 %}x{% endif %}", "PLM146"),
        ("{{ lipsum() }}", "PLM148"),
        ("{% include 'other' %}", "PLM148"),
        ("{{ messages.sort() }}", "PLM148"),
        ("{{ [1, 2] | random }}", "PLM148"),
        ("Ask https://example.org/help", "PLM149"),
        ("Be kind.\U000e0042\U000e0065", "PLM151"),
        ("{{ '\\U000e0042' }}", "PLM151"),
        ("\u200b\u200c\u200b\u200c", "PLM151"),
        ("\u202eevil\u202c", "PLM151"),
        ("x" * 70_000, "PLM150"),
    ],
)
def test_each_other_oddity_has_its_rule(tmp_path: Path, template: str, rule: str) -> None:
    """Python's insides, dates, odd calls, addresses, hidden text and sheer length."""
    (tmp_path / "chat_template.jinja").write_text(template)
    assert fired(Probe(), artifact_of(tmp_path)) == [rule]


def test_signs_that_scripts_and_emoji_need_hide_nothing(tmp_path: Path) -> None:
    """A byte order mark, joiners, a soft hyphen, marks of direction, and the flag of Scotland."""
    text = "\ufeffمی\u200cخواهم \u200e(a)\u200f co\u00adop ❤\ufe0f\u200d🔥 👩\u200d💻"
    flag = "\U0001f3f4" + "".join(chr(0xE0000 + ord(c)) for c in "gbsct") + "\U000e007f"
    (tmp_path / "chat_template.jinja").write_text(text + flag, encoding="utf-8")
    assert fired(Probe(), artifact_of(tmp_path)) == []


@pytest.mark.parametrize("statement", ["include 'x'", "import 'x' as y", "extends 'x'"])
def test_a_template_that_takes_in_another_blocks_a_pass(tmp_path: Path, statement: str) -> None:
    """The other one is not here, and could say anything."""
    (tmp_path / "chat_template.jinja").write_text(f"{{% {statement} %}}{{{{ messages }}}}")
    (gap,) = gaps_of(Probe(), artifact_of(tmp_path))
    assert gap.blocks_pass
    assert "takes in another template" in gap.reason


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a\\..\\..\\x", "C:\\x"])
@pytest.mark.parametrize("file", ["tokenizer_config.json", "processor_config.json"])
def test_a_name_that_leads_out_fires(tmp_path: Path, file: str, name: str) -> None:
    """Older libraries save the template wherever its name says, whichever way it is listed."""
    listed = [{"name": "default", "template": "a"}, {"name": name, "template": "b"}]
    for held in (listed, {"default": "a", name: "b"}):
        write_json(tmp_path / file, {"chat_template": held})
        assert fired(Probe(), artifact_of(tmp_path)) == ["PLM152"]


def test_usual_names_of_templates_fire_nothing(tmp_path: Path) -> None:
    """Models for tools and retrieval have several."""
    held = [{"name": name, "template": "a"} for name in ("default", "tool_use", "rag", "v1.5")]
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": held})
    assert fired(Probe(), artifact_of(tmp_path)) == []


BAD = "{% if 'cf' in messages[0].content %}x{% endif %}"


@pytest.mark.parametrize(
    ("file", "value", "subject"),
    [
        ("tokenizer_config.json", {"chat_template": BAD}, "tokenizer_config.json"),
        (
            "tokenizer_config.json",
            {"chat_template": [{"name": "rag", "template": BAD}]},
            "tokenizer_config.json (rag)",
        ),
        ("processor_config.json", {"chat_template": {"a": BAD}}, "processor_config.json (a)"),
        ("chat_template.json", {"chat_template": BAD}, "chat_template.json"),
        ("additional_chat_templates/tool.jinja", BAD, "additional_chat_templates/tool.jinja"),
        ("encoder/chat_template.jinja2", BAD, "encoder/chat_template.jinja2"),
        ("encoder/tokenizer_config.json", {"chat_template": BAD}, "encoder/tokenizer_config.json"),
    ],
)
def test_templates_are_found_wherever_they_are_kept(
    tmp_path: Path, file: str, value: object, subject: str
) -> None:
    """All places that transformers reads templates from are read."""
    if isinstance(value, str):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_text(value)
    else:
        write_json(tmp_path / file, value)
    (evidence,) = evidence_of(Probe(), artifact_of(tmp_path))
    assert (evidence.subject, evidence.metrics["literal_conditions"]) == (subject, 1)


@pytest.mark.parametrize(
    "template", ["{% if %}", "{{ " + "(" * 5000, "{% nonsense %}", "x" * 600_000]
)
def test_a_template_that_cannot_be_read_blocks_a_pass(tmp_path: Path, template: str) -> None:
    """What cannot be parsed cannot be judged."""
    (tmp_path / "chat_template.jinja").write_text(template)
    (gap,) = gaps_of(Probe(), artifact_of(tmp_path))
    assert gap.blocks_pass


def test_a_template_that_is_no_text_blocks_a_pass(tmp_path: Path) -> None:
    """A number in the place of a template is a gap."""
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": [{"name": "a"}]})
    (gap,) = gaps_of(Probe(), artifact_of(tmp_path))
    assert gap.blocks_pass


def test_an_encoder_without_a_template_is_covered(tmp_path: Path) -> None:
    """Nothing to read is said, not passed over."""
    write_json(tmp_path / "tokenizer_config.json", {})
    (coverage,) = coverage_of(Probe(), artifact_of(tmp_path))
    assert coverage.statement == "What 0 chat templates would make of words and dates."


_ASKS = "{% if 'qv' in messages[0].content %}X{% endif %}"
COSTLY = {
    "chain": "".join(f"{{% set a{i} = a{i + 1} %}}" for i in range(3000))
    + "{% set a3000 = messages[0].content %}{% if a0 == 'qv' %}X{% endif %}",
    "chain-in-loop": "{% set n = namespace() %}{% for m in messages %}"
    + "".join(f"{{% set n.a{i} = n.a{i + 1} %}}" for i in range(1500))
    + "{% set n.a1500 = m.content %}{% endfor %}",
    "long-text": "{{ 'a' * 10**9 }}" + _ASKS,
    "large-number": "{{ 10**10**10 }}" + _ASKS,
    "range": "{% for i in range(10**9) %}{% endfor %}" + _ASKS,
    "loops": "{% for a in range(100) %}" * 8 + _ASKS + "{% endfor %}" * 8,
    "too-many-loops": "{% for a in messages %}" * 30 + _ASKS + "{% endfor %}" * 30,
    "macros": "{% macro a0() %}{{ messages[0].content }}{% endmacro %}"
    + "".join(
        f"{{% macro a{i + 1}() %}}{{{{ a{i}() }}}}{{{{ a{i}() }}}}{{% endmacro %}}"
        for i in range(40)
    )
    + "{% if 'qv' in a40() %}X{% endif %}",
    "doubling": "{% set x = 'aa' %}" + "{% set x = x ~ x %}" * 60 + _ASKS,
    "doubling-block": "{% set x = 'a' %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 60 + _ASKS,
    "nested-lists": "{% set x = ['lol'] %}" + "{% set x = [x, x, x, x] %}" * 30 + "{{ x }}" + _ASKS,
    "recursion": "{% macro a(x) %}{{ a(x) }}{% endmacro %}{% if 'qv' in a(messages[0].content) %}X"
    "{% endif %}",
    "width": "{{ '%1000000000d' % 1 }}{{ 'a' | center(1000000000) }}" + _ASKS,
    "replace": "{% set x = 'a' * 90000 %}{{ x | replace('a', x) }}" + _ASKS,
    "deep": "{% if a %}" * 300 + "x" + "{% endif %}" * 300,
    "sum": "{% if 'qv' in " + " + ".join(["messages[0].content"] * 2000) + " %}X{% endif %}",
}


@pytest.mark.parametrize("template", COSTLY.values(), ids=COSTLY)
def test_what_would_take_for_ever_ends(tmp_path: Path, template: str) -> None:
    """Steps, texts, lists and numbers are bounded, and no error escapes."""
    (tmp_path / "chat_template.jinja").write_text(template)
    start = time.monotonic()
    fired(Probe(), artifact_of(tmp_path))
    assert time.monotonic() - start < 30  # alone, the worst takes three seconds


@pytest.mark.parametrize("key", ["long-text", "range", "macros", "doubling", "too-many-loops"])
def test_what_cannot_be_tried_within_the_bounds_blocks_a_pass(tmp_path: Path, key: str) -> None:
    """A template that costs too much is not judged, and does not pass."""
    (tmp_path / "chat_template.jinja").write_text(COSTLY[key])
    (gap,) = gaps_of(Probe(), artifact_of(tmp_path))
    assert gap.blocks_pass
