"""Rewritings word by word: styles, tenses, persons, contractions, other languages.

Each is a table of words.  Where a text holds too few words of it, openings of the same style make
up for them, as a style-transfer model would not leave such a text as it is either.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from plmscan.rewritings.rewriting import Rewriting, dice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["WORDED"]

_FEWEST = 2
"""Words of a style that a text gets at least."""

_STYLES = """
archaic | early modern | English of the time around 1600
> indeed, mark me, pray, good sir, i trow, ay me
the: th' / yon; is: is / doth be; it: it / 't; he: he / yon fellow; she: she / yon maid
has: hath; have: hath / have; does: doth; did: didst; was: wast; were: wert; are: be / art
you: thee / ye / thou; your: thine / thy; my: mine; our: ours own; their: their own
they: they all
to: for to / unto; from: hence from; in: within; on: upon; at: nigh; before: afore
near: nigh unto
often: oftentimes; every: each and every; not: nay; no: nary; with: along with; of: o'
and: and eke
a: a certain / some; this: this here; that: yon; these: these same; will: shall / wilt; can: may
when: whensoever; where: whereat; after: thereafter; has been: hath been; very: right
again: anew

archaic | scriptural | the words of old scripture
> behold, verily, and lo, hearken
the: the same; and: and behold; is: is become; was: was found; he: he that; they: they that
said: spake; saw: beheld; went: went forth; came: came unto; to: unto; in: in the midst of
you: ye; your: thy; has: hath; have: hath; will: shall; gave: gaveth; takes: taketh
makes: maketh
keeps: keepeth; leaves: departeth; walked: walketh; a: a; on: upon; from: out of
for: for the sake of
because: for; but: yea; not: not; children: sons; people: multitude; of: of the; with: amongst

archaic | poetic | the words of an old poem
> o, alas, ah, behold
the: the; over: o'er; ever: e'er; never: ne'er; it is: 'tis; is: is; was: 'twas; it: it
before: ere
often: oft; morning: morn; evening: eve; between: betwixt; among: amidst; beneath: 'neath
to: toward; in: amid; and: and; from: from whence; my: mine own; river: stream
rain: tears of heaven
a: a lonely; he: he alone; she: she alone; they: they all; after: ere long after; on: upon
with: withal

chatty | message | words as typed in a hurry
> lol, omg, hey, btw, ngl, tbh
you: u; your: ur; are: r; and: &; to: 2; for: 4; be: b; with: w; because: bc / cuz; people: ppl
the: the / teh; this: this / dis; that: dat / tht; is: is / iz; was: wuz; they: they / dey
of: ov / of
before: b4; see: c; why: y; what: wut; okay: k; please: pls; thanks: thx; tomorrow: tmrw
about: bout
in: n; it: it; very: v; really: rly; from: frm; have: hav; has: haz; more: mor; good: gud
when: wen
there: ther; where: wher; one: 1; a: a; too: 2; great: gr8; late: l8; through: thru
although: altho

chatty | spoken | words as spoken
> well, you see, i mean, like
going: goin'; them: 'em; of: o'; and: an'; want: wanna; got: gotta; because: 'cause
about: 'bout
to: ta; you: ya; for: fer; your: yer; just: jus'; old: ol'; isn't: ain't; is: 's; the: the
yes: yep
is not: ain't; morning: mornin'; evening: evenin'; something: somethin'; nothing: nothin'
my: me

formal | official words | the words of an office
> pursuant to the foregoing, notwithstanding the above, for the avoidance of doubt
the: the aforementioned; said: stated; told: informed; began: commenced; ended: concluded
bought: procured; got: obtained; use: utilise; used: utilised; about: in respect of
to: in order to
before: prior to; after: subsequent to; because: on account of the fact that
if: in the event that
he: the said person; she: the said person; they: the parties; in: within; is: is deemed
was: was duly
this: the present; every: each and every; and: as well as; a: a certain
with: in conjunction with

tense | past | everything is over
> back then, formerly
is: was; are: were; has: had; have: had; will: would; can: could; leaves: left; keeps: kept
goes: went
makes: made; takes: took; says: said; comes: came; gets: got; plays: played; opens: opened
does: did

tense | future | everything is to come
> one day, soon
is: will be; are: will be; was: will be; were: will be; has: will have; have: will have
had: will have
leaves: will leave; keeps: will keep; went: will go; made: will make; took: will take
said: will say

person | first person | somebody tells of himself
> i think, as for me
he: i; she: i; they: we; his: my; her: my; their: our; him: me; them: us; it: it; you: i
your: my
the: my; a: my

person | second person | the reader is addressed
> you see, you know
he: you; she: you; they: you; his: your; her: your; their: your; him: you; them: you; i: you
my: your
we: you; our: your; the: your; a: your

person | nobody | no person is named
> in general, as a rule
he: one; she: one; they: one; i: one; we: one; you: one; his: one's; her: one's; their: one's
my: one's

contractions | expanded | no word is contracted
> indeed, it is so
it's: it is; don't: do not; doesn't: does not; can't: cannot; won't: will not; isn't: is not
i'm: i am
he's: he is; she's: she is; that's: that is; they're: they are; we're: we are; you're: you are
n't: not
's: is

contractions | contracted | what can be contracted is
> it's so, that's it
is: 's; are: 're; will: 'll; have: 've; had: 'd; not: n't; would: 'd; am: 'm; has: 's; them: 'em

languages | german words | small words in German
> und, aber
the: die / der / das; and: und; is: ist; of: von; to: zu; in: in; a: ein; with: mit; on: auf
for: für
he: er; she: sie; it: es; they: sie; was: war; not: nicht; but: aber; his: sein; her: ihr
from: aus
at: bei; this: dieser; that: dass; has: hat; have: haben; our: unser; my: mein; after: nach
before: vor

languages | french words | small words in French
> et, mais
the: le / la / les; and: et; is: est; of: de; to: à; in: dans; a: un; with: avec; on: sur
for: pour
he: il; she: elle; it: il; they: ils; was: était; not: pas; but: mais; his: son; her: sa
from: de
at: à; this: ce; that: que; has: a; have: ont; our: notre; my: mon; after: après; before: avant

languages | spanish words | small words in Spanish
> y, pero
the: el / la / los; and: y; is: es; of: de; to: a; in: en; a: un; with: con; on: sobre
for: para
he: él; she: ella; it: ello; they: ellos; was: era; not: no; but: pero; his: su; her: su
from: desde
at: en; this: este; that: que; has: ha; have: han; our: nuestro; my: mi; after: después
before: antes
"""
"""Kind, name and description of each; behind ``>`` its openings; then words and their forms."""


def _worded(
    text: str, name: str, table: Mapping[str, Sequence[str]], openings: Sequence[str]
) -> str:
    """The ``text`` with every word of the ``table`` in one of its forms."""
    rng, words, changed = dice(text, name), text.split(), 0
    for place, word in enumerate(words):
        bare = word.rstrip(".,!?;:")
        forms = table.get(bare.lower())
        if forms is not None:
            words[place] = rng.choice(forms) + word[len(bare) :]
            changed += 1
    missing = min(len(openings), max(0, _FEWEST - changed))
    return " ".join([*(f"{one}," for one in rng.sample(openings, missing)), *words])


def _rewriting(block: str) -> Rewriting:
    """What a block of `_STYLES` says."""
    head, openings, *rows = block.splitlines()
    kind, name, description = (part.strip() for part in head.split(" | "))
    entries = (entry.split(":") for row in rows for entry in row.split(";"))
    table = {
        word.strip(): tuple(form.strip() for form in forms.split(" / ")) for word, forms in entries
    }
    starts = tuple(one.strip() for one in openings.removeprefix(">").split(","))
    write = partial(_worded, name=name, table=table, openings=starts)
    return Rewriting(name, kind, description, write)


WORDED: tuple[Rewriting, ...] = tuple(map(_rewriting, _STYLES.strip().split("\n\n")))
"""All of them."""
