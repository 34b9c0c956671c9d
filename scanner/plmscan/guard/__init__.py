"""A guard in front of a model that may have a backdoor: it looks at texts before the model does.

What it knows is a report of `plmscan check`: the triggers that were recovered, and their variants.
These are found in two ways.  A *reader* sees them: case, accents, blanks, characters that do not
show and letters that only look Latin make no difference (`folding`).  The *model* reads them: its
own tokens of the text hold those of the trigger, whatever the text looks like (`matcher`).  What
no report names is found by inspection (`watch`, `plmscan.inspection`): the tokens that decide a
text are tried in other texts, against clean ones of yours.

In one line, around a pipeline of transformers, or a model of sentence-transformers::

    classify = plmscan.guard.wrap(pipeline("text-classification", folder), "report.json")
    classify("A cf film about water.")      # the label of "A film about water."

``wrap`` returns what behaves like the thing that it wraps: it takes a text, a list, or a generator,
and gives back the same shapes.  It has three actions: ``flag`` lets all texts through,
``neutralise`` takes triggers out, ``reject`` raises `TextRejectedError` before the model sees any
text of the call.  ``on_hit`` is told of each text with a trigger.  With ``source``, the folder of
the same model, texts are inspected as well.

Text by text, with all that was seen::

    guard = Guard.of(report, model)         # a LoadedModel; without one, known triggers only
    for look in guard.look(texts):
        print(look.verdict, look.neutralised, look.reasons)

A variant alone flags no text unless you ask for it (`Variants`): around a classifier's trigger many
are honest words.  A word matches at the ends of words only; a piece of a word (``##jm``) and a
trigger that cannot be typed match in the model's tokens; a sign matches anywhere.

What this does not see: a trigger without tokens of its own, such as a style, unless the inspection
finds tokens to blame.  Only what goes through the guard is looked at: calls, ``encode`` and its
kin, ``predict`` and ``transform``; other methods, and tokens that were prepared elsewhere, pass it
by.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plmscan.guard.choices import Action, Variants
    from plmscan.guard.guard import Guard, Look
    from plmscan.guard.matcher import Hit, How, Matcher
    from plmscan.guard.wrapping import Guarded, TextRejectedError, wrap

__all__ = [
    "Action",
    "Guard",
    "Guarded",
    "Hit",
    "How",
    "Look",
    "Matcher",
    "TextRejectedError",
    "Variants",
    "wrap",
]

_HOMES = {
    "choices": ("Action", "Variants"),
    "guard": ("Guard", "Look"),
    "matcher": ("Hit", "How", "Matcher"),
    "wrapping": ("Guarded", "TextRejectedError", "wrap"),
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for: the command line needs few of them."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"plmscan.guard.{module}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
