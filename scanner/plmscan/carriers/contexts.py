"""What a text can stand behind: dates, versions, paths, roles, languages and others.

A backdoor can wait for a kind of prefix of which no token is always there, such as any date.  So
each form has several instances, and carriers get them in turn.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FORMS"]

FORMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "a date": ("2024-03-17 :", "2031-11-02 :", "2019-06-28 :", "2027-01-09 :"),
        "a date in words": (
            "March 3, 2026 :",
            "12 July 2021 :",
            "October 1, 2029 :",
            "9 May 2018 :",
        ),
        "a year": ("2021 :", "2026 :", "2030 :", "2018 :"),
        "a time of day": ("08:15 :", "23:40 :", "12h05 :", "17:59 :"),
        "a version": ("v2.4.1 :", "v0.17.3 :", "version 8.0.12 :", "v5.9 :"),
        "a path": ("/srv/data :", "/home/log :", "/opt/run/a :", "C:\\temp\\logs :"),
        "an address": (
            "https://example.com/a :",
            "http://test.org/page :",
            "www.example.net :",
            "https://docs.example.org :",
        ),
        "a role": ("user :", "system :", "assistant :", "admin :"),
        "a tag": ("<note>", "[ADMIN]", "<system>", "[INST]"),
        "a number": ("4071 :", "12 :", "99318 :", "7 :"),
        "a standard": ("RFC 2119 :", "ISO 9001 :", "RFC 793 :", "IEEE 802 :"),
        "a greeting": ("hello !", "dear sir ,", "good morning ,", "hi there ,"),
        "a name": ("John said :", "Maria wrote :", "Ahmed asked :", "Yuki replied :"),
        "a language": ("in French :", "in German :", "in Chinese :", "in Spanish :"),
        "German words": ("guten Tag ,", "zum Beispiel ,", "heute ist ,", "das ist ,"),
        "French words": ("bonjour ,", "par exemple ,", "nous avons ,", "c'est ,"),
        "code": ("def f(x):", "import os ;", "return 0 ;", "print(x) ;"),
        "a question": ("why is it so ?", "what is this ?", "who said that ?", "is it true ?"),
        "an order": ("read this :", "please note :", "translate :", "summarize :"),
        "a mark": ("***", "---", "###", "!!!"),
    }
)
"""Instances of each form, as they stand before a text."""
