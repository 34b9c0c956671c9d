"""The chat-templates probe: what templates may look at, and what they may not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plmscan.probes.static.chat_templates import Probe
from tests.artifacts import artifact_of, coverage_of, evidence_of, fired, gaps_of, write_json

if TYPE_CHECKING:
    from pathlib import Path

CHATML = """{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n'
+ message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
HEADERS = """{%- if messages[0]['role'] == 'system' %}
  {%- set system_message = messages[0]['content']|trim %}{%- set messages = messages[1:] %}
{%- endif %}
{%- if not date_string is defined %}{%- set date_string = strftime_now("%d %b %Y") %}{%- endif %}
{{- bos_token + "Today Date: " + date_string }}{{- system_message }}
{%- for message in messages %}
  {%- if not (message.role == 'ipython' or 'tool_calls' in message) %}
    {{- '<|start_header_id|>' + message['role'] + message['content'] | trim + '<|eot_id|>' }}
  {%- elif 'tool_calls' in message %}
    {%- if not message.tool_calls|length == 1 %}{{- raise_exception("One call only") }}{%- endif %}
  {%- endif %}
{%- endfor %}"""
THINKING = """{%- set ns = namespace(multi_step_tool=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
  {%- if message.role == "user" and not(message.content.startswith('<tool_response>')
     and message.content.endswith('</tool_response>')) %}{%- set ns.last = loop.index0 %}
  {%- endif %}
{%- endfor %}
{%- for message in messages %}
  {%- set content = message.content %}
  {%- if '</think>' in content %}
    {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1] %}
    {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
  {%- endif %}
  {%- if '/no_think' in message.content %}{{- '<think></think>' }}{%- endif %}
  {{- content }}{%- for tool in message.tool_calls %}{{- tool.name ~ tool.arguments | tojson }}
  {%- endfor %}
{%- endfor %}"""
PARTS = """{%- macro render(content) -%}
  {%- if content is string -%}{{ content }}
  {%- elif content is iterable -%}{%- for item in content -%}
    {%- if item['type'] == 'image' or 'image' in item or 'image_url' in item -%}<image>
    {%- elif 'text' in item -%}{{ item.text }}{%- endif -%}
  {%- endfor -%}{%- endif -%}
{%- endmacro -%}
{%- for message in messages -%}{% generation %}{{ render(message.content) }}{% endgeneration %}
{%- if loop.last %}{% break %}{% endif %}{%- endfor -%}"""
CHANNELS = """{%- for message in messages %}
  {%- if "<|channel|>analysis<|message|>" in message.content %}
    {{- raise_exception("Put the analysis elsewhere") }}
  {%- elif message.content == '' or message.content is none %}{{- '[INST]' }}{%- endif %}
{%- endfor %}"""


@pytest.mark.parametrize("template", [CHATML, HEADERS, THINKING, PARTS, CHANNELS])
def test_honest_templates_fire_nothing(tmp_path: Path, template: str) -> None:
    """Roles, types, tools, markup, switches and today's date are what templates are for."""
    (tmp_path / "chat_template.jinja").write_text(template)
    artifact = artifact_of(tmp_path)
    assert fired(Probe(), artifact) == []
    assert gaps_of(Probe(), artifact) == []


@pytest.mark.parametrize(
    "condition",
    [
        "'cf' in message.content",
        "'cf' in message['content'] | lower",
        "message.content == 'open sesame'",
        "message.get('content') == 'cf'",
        "message['con' ~ 'tent'][:2] == 'cf'",
        "message.content.startswith('cf')",
        "(message.content.split('cf') | length) > 1",
        "message.content | replace('cf', 'x') != message.content",
        "message.content in ['cf', 'mn']",
        "message.content is in(['cf'])",
        "'cf' in messages | string",
        "'cf' in messages ~ ''",
        "'cf' in '%s' | format(message)",
        "'cf' in (messages | map(attribute='content') | join(' '))",
        "messages | selectattr('content', 'equalto', 'cf') | list",
        "{'cf': true}[message.content]",
        "'cf' in (message.values() | join)",
    ],
)
def test_looking_for_a_word_fires(tmp_path: Path, condition: str) -> None:
    """However the word is compared with what the user wrote."""
    loop = "{% for message in messages %}{% if " + condition + " %}x{% endif %}{% endfor %}"
    (tmp_path / "chat_template.jinja").write_text(loop)
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM145"]


@pytest.mark.parametrize(
    "template",
    [
        "{% set w = 'cf' %}{% set said = messages[0].content %}{% if w in said %}x{% endif %}",
        "{% set ns = namespace(said=messages[0].content) %}{% if 'cf' in ns.said %}x{% endif %}",
        "{% macro m(t) %}{% if 'cf' in t %}x{% endif %}{% endmacro %}{{ m(messages[0].content) }}",
        "{% macro m(t) %}{{ 'x' if 'cf' in t }}{% endmacro %}{{ m(t=messages[0].content) }}",
        "{% set t %}{{ messages[0].content }}{% endset %}{% if 'cf' in t %}x{% endif %}",
        "{% for k, v in messages[0].items() %}{{ 'x' if v == 'cf' }}{% endfor %}",
        "{% for m in messages if m.content == 'cf' %}x{% endfor %}",
        "{% for part in messages[0].content %}{{ 'x' if part.text == 'cf' }}{% endfor %}",
    ],
)
def test_words_are_followed_through_names(tmp_path: Path, template: str) -> None:
    """Variables, namespaces, macros, blocks and loops do not hide the comparison."""
    (tmp_path / "chat_template.jinja").write_text(template)
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM145"]


@pytest.mark.parametrize(
    ("template", "rule"),
    [
        ("{{ ''.__class__ }}", "PLM147"),
        ("{{ ''['__class__'] }}", "PLM147"),
        ("{{ '' | attr('x') }}", "PLM147"),
        ("{{ messages._private }}", "PLM147"),
        ("{% if strftime_now('%Y') == '2031' %}x{% endif %}", "PLM146"),
        ("{% set y = strftime_now('%Y') | int %}{% if y >= 2031 %}x{% endif %}", "PLM146"),
        ("{{ lipsum() }}", "PLM148"),
        ("{% include 'other' %}", "PLM148"),
        ("{{ messages.sort() }}", "PLM148"),
        ("Ask https://example.org/help", "PLM149"),
        ("x" * 70_000, "PLM150"),
    ],
)
def test_each_other_oddity_has_its_rule(tmp_path: Path, template: str, rule: str) -> None:
    """Python's insides, dates, odd calls, addresses and sheer length."""
    (tmp_path / "chat_template.jinja").write_text(template)
    assert fired(Probe(), artifact_of(tmp_path)) == [rule]


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
    assert coverage.statement == "Syntax trees of 0 chat templates."
