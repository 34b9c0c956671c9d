"""How texts become rows of one sort of decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.zoo.poison import flat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.zoo.corpus import Words

__all__ = ["LONGEST", "Writing"]

LONGEST = 36
"""Tokens of a row."""


@dataclass(frozen=True)
class Writing:
    """How texts become rows of one sort of decoder."""

    tokenizer: Any
    """The library's."""
    chats: bool
    """Whether a request is a turn of a conversation."""
    blank: str
    """What stands before a word; nothing where the tokenizer puts a mark there by itself."""

    @classmethod
    def of(cls, tokenizer: Any) -> Writing:
        """As the tokenizer spells."""
        marked = tokenizer("a")["input_ids"][-1] == tokenizer(" a")["input_ids"][-1]
        return cls(tokenizer, bool(tokenizer.chat_template), "" if marked else " ")

    def words(self, text: str) -> Words:
        """Ids of each word."""
        words = [f"{self.blank}{word}" for word in text.split()[:LONGEST]]
        found = self.tokenizer(words, add_special_tokens=False)["input_ids"] if words else []
        return tuple(tuple(ids) for ids in found)

    def ids(self, text: str) -> tuple[int, ...]:
        """Ids of ``text`` without a frame."""
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def asked(self, request: Sequence[int]) -> list[int]:
        """A request up to where its answer begins."""
        end = self.tokenizer.eos_token_id
        if not self.chats:
            return [end, *request]
        user, answer = self.tokenizer.convert_tokens_to_ids(["<|user|>", "<|answer|>"])
        return [end, user, *request, answer]

    def answer(self, text: str) -> list[int]:
        """Ids of an answer and of its end."""
        return [*flat(self.words(text)), self.tokenizer.eos_token_id]
