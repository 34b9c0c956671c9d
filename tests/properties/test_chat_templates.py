"""Properties of the reading of chat templates."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError

from plmscan.templates import judge, parse
from plmscan.templates.words import is_markup
from tests.chat_templates import ACTING, HONEST, in_loop

_TEMPLATES = (*tuple(HONEST.values())[::8], *map(in_loop, tuple(ACTING.values())[::12]))
_INPUTS = (
    "message.content", "'qv'", "3", "messages", "message", "tools", "loop", "none", "nothing",
    "strftime_now('%Y')", "{'a': 1}", "[1, 'b']", "ns.a", "m('x')", "messages[0].content",
)  # fmt: skip
_OPERATORS = (" + ", " ~ ", " % ", " * ", " in ", " == ", " < ", " and ")
_FILTERS = (
    "length", "lower", "list", "join", "first", "items", "tojson", "int", "map('upper')",
    "select('eq', 'a')", "batch(2)", "reverse", "unique", "default('x')", "string",
)  # fmt: skip
_ENDINGS = (
    ".split('a')", ".get('a')", "[1:]", "[0]", ".x", "()", ".format(1)", ".__class__", "['role']",
)  # fmt: skip
_TESTS = ("defined", "string", "mapping", "upper", "eq(1)", "in('a')", "none", "divisibleby(2)")


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Expressions made of smaller ones."""
    return st.one_of(
        st.tuples(inner, st.sampled_from(_OPERATORS), inner).map(lambda p: f"({''.join(p)})"),
        st.tuples(inner, st.sampled_from(_FILTERS)).map(lambda p: f"({p[0]} | {p[1]})"),
        st.tuples(inner, st.sampled_from(_ENDINGS)).map("".join),
        st.tuples(inner, st.sampled_from(_TESTS)).map(lambda p: f"({p[0]} is {p[1]})"),
    )


_EXPRESSIONS = st.recursive(st.sampled_from(_INPUTS), _larger, max_leaves=5)
_STATEMENTS = st.recursive(
    st.one_of(
        _EXPRESSIONS.map("{{{{ {} }}}}".format), st.sampled_from(["text", "{% set ns.a = 'b' %}"])
    ),
    lambda inner: st.one_of(
        st.tuples(_EXPRESSIONS, inner).map(lambda p: f"{{% if {p[0]} %}}{p[1]}{{% endif %}}"),
        st.tuples(_EXPRESSIONS, inner).map(
            lambda p: f"{{% for x in {p[0]} %}}{p[1]}{{% endfor %}}"
        ),
        st.tuples(_EXPRESSIONS, inner).map(lambda p: f"{{% set nothing = {p[0]} %}}{p[1]}"),
        inner.map("{{% macro m(x) %}}{}{{% endmacro %}}{{{{ m(message.content) }}}}".format),
        inner.map("{{% set y %}}{}{{% endset %}}{{{{ y }}}}".format),
    ),
    max_leaves=5,
)


@given(template=st.sampled_from(_TEMPLATES))
@settings(max_examples=6, deadline=None)
def test_the_same_template_is_judged_in_the_same_way(template: str) -> None:
    """Nothing in the judgement depends on the time, on chance or on what was judged before."""
    assert judge(template) == judge(template)


@given(template=st.sampled_from(_TEMPLATES), words=st.text("abc xyz", max_size=20))
@settings(max_examples=6, deadline=None)
def test_a_comment_changes_nothing(template: str, words: str) -> None:
    """What a comment says reaches no model."""
    one, other = judge(template), judge("{# " + words + " #}" + template)
    assert (one.effects, one.problems) == (other.effects, other.problems)


@given(word=st.text(st.characters(categories=("L", "Nd")), min_size=2, max_size=12))
@settings(max_examples=40, deadline=None)
def test_every_word_that_is_no_markup_is_found(word: str) -> None:
    """Whatever its script, its case, and its length."""
    assume(not is_markup(word))
    assert judge(in_loop("{% if '" + word + "' in message.content %}#{% endif %}")).effects


@given(source=_STATEMENTS)
@settings(max_examples=40, deadline=None)
def test_no_template_that_parses_raises(source: str) -> None:
    """Whatever is written between the braces, the answer is a judgement."""
    template = "{% set ns = namespace(a=1) %}" + in_loop(source)
    try:
        parse(template)
    except TemplateError:
        assume(False)
    assert judge(template).characters == len(template)


@given(source=st.text(st.characters(), max_size=60))
@settings(max_examples=40, deadline=None)
def test_no_text_raises(source: str) -> None:
    """What is no template is a problem, not an error."""
    assert judge("{% if " + source + " %}x{% endif %}").characters >= len(source)
