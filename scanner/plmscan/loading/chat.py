"""What stands around a request where a model answers people: its chat template, tried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plmscan.templates import parse
from plmscan.templates.watching import Watched

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["around_request"]

_REQUEST = "zzrequestzz"
"""Stands for what somebody asks; no template writes it by itself."""


def around_request(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str] | None:
    """What a chat template writes before a request and behind it, up to where the answer begins.

    None without a template.

    Raises:
        ValueError: it does not write one request, once and as it is.
    """
    source = tokenizer.chat_template
    if not source:
        return None
    if not isinstance(source, str):
        source = source.get("default")
    before, request, after = _rendered(str(source), tokenizer).partition(_REQUEST)
    if not request or _REQUEST in after:
        msg = "it does not write a request once and as it is"
        raise ValueError(msg)
    return before, after


def _rendered(source: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """A conversation of one request, at bounded cost.

    Raises:
        ValueError: the template breaks, or costs too much.
    """
    tokens = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    messages = [{"role": "user", "content": _REQUEST}]
    try:
        template = Watched(parse(source), {})
        found = template.render({"messages": messages, "add_generation_prompt": True, **tokens})
        error = found.error
    except Exception as broken:  # noqa: BLE001 - a template raises anything
        error = type(broken).__name__
    if error:
        msg = f"it breaks or costs too much for a single request ({error})"
        raise ValueError(msg)
    return found.text
