"""What a team has decided to live with: waived findings and known ones.

A waiver is written by a person into the configuration, with a reason and a last day.  A baseline
is written by plmscan and holds the fingerprints of the findings of one day, so that only new ones
fail.  Both leave a finding in the report, marked as waived.  A waiver whose day has passed waives
nothing, and fails the model until somebody looks at it again.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plmscan.evidence import Waived

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from plmscan.evidence import Finding

__all__ = ["NO_WAIVERS", "Known", "Waiver", "Waivers", "fingerprint", "fingerprint_of", "set_aside"]


@dataclass(frozen=True)
class Waiver:
    """A finding that a person decided to live with for a while."""

    rule: str
    """Rule id."""
    reason: str
    """Why, in their words."""
    expires: date
    """Last day on which it holds."""
    place: str
    """File and line, such as ``plmscan.yaml:12``."""
    model: str | None = None
    """Model as the configuration names it; None for every model."""
    subject: str | None = None
    """What the evidence is about (a file, a token); None for any."""

    def is_about(self, model: str) -> bool:
        """Whether it can waive a finding of ``model``."""
        return self.model is None or _plain(self.model) == _plain(model)

    def covers(self, finding: Finding) -> bool:
        """Whether it is about ``finding``, as far as rule and subject go."""
        same = self.subject is None or self.subject == finding.evidence.subject
        return self.rule == finding.rule and same


@dataclass(frozen=True)
class Known:
    """The findings of a baseline."""

    fingerprints: frozenset[str]
    """As `fingerprint` gives them."""
    place: str
    """The file."""


@dataclass(frozen=True)
class Waivers:
    """All that may waive findings of one model, as of one day."""

    model: str = ""
    """The model, as a report names it."""
    today: date | None = None
    """The day on which waivers are held against their expiry; None without waivers."""
    written: tuple[Waiver, ...] = ()
    """Those that are about the model."""
    known: Known | None = None
    """Its baseline; None without one."""
    others: tuple[Waiver, ...] = ()
    """Those that are about other models, such as the base of an adapter."""

    def of(self, model: str) -> Waivers:
        """What may waive findings of another ``model``."""
        every = (*self.written, *self.others)
        mine = tuple(waiver for waiver in every if waiver.is_about(model))
        return replace(self, model=model, written=mine, others=())

    @property
    def in_force(self) -> tuple[Waiver, ...]:
        """The waivers whose last day has not passed."""
        return tuple(waiver for waiver in self.written if not self._is_over(waiver))

    def waived(self, finding: Finding) -> Waived | None:
        """Why ``finding`` does not count; None if it does."""
        for waiver in self.in_force:
            if waiver.covers(finding):
                last_day = waiver.expires.isoformat()
                return Waived("ignore", waiver.reason, waiver.place, last_day)
        if self.known is None:
            return None
        if fingerprint(self.model, finding) in self.known.fingerprints:
            return Waived(
                "baseline", "It was known when the baseline was written.", self.known.place
            )
        return None

    def expired(self) -> tuple[str, ...]:
        """A sentence for every waiver whose last day has passed."""
        return tuple(
            f"The waiver of {waiver.rule} at {waiver.place} expired on {waiver.expires}: look at "
            f"the finding again, then renew the waiver or remove it."
            for waiver in self.written
            if self._is_over(waiver)
        )

    def lapsed(self, finding: Finding) -> Waiver | None:
        """The waiver that would cover ``finding`` if its last day had not passed."""
        over = (waiver for waiver in self.written if self._is_over(waiver))
        return next((waiver for waiver in over if waiver.covers(finding)), None)

    def _is_over(self, waiver: Waiver) -> bool:
        """Whether its last day has passed."""
        return self.today is not None and waiver.expires < self.today


NO_WAIVERS = Waivers()
"""Nothing is waived."""


def set_aside(findings: Iterable[Finding]) -> tuple[str, ...]:
    """How many of ``findings`` a baseline knows, and how many somebody waived."""
    waived = [finding.waived for finding in findings if finding.waived]
    known = sum(one.by == "baseline" for one in waived)
    told = ((known, "known"), (len(waived) - known, "waived"))
    return tuple(f"{number} {what}" for number, what in told if number)


def fingerprint(model: str, finding: Finding) -> str:
    """What stays the same of a finding of ``model`` from one revision to the next, hashed.

    Rule, model and subject; neither digests nor numbers nor the severity, so that an alert survives
    a bump of the model or of a threshold.
    """
    evidence = finding.evidence
    return fingerprint_of(finding.rule, model, evidence.probe, evidence.subject)


def fingerprint_of(rule: str, model: str, probe: str, subject: str) -> str:
    """The same, from its parts."""
    about = [rule, _plain(model), probe, subject]
    # a saved report spells lone surrogates out, and keeps the fingerprints of the scan
    spelt = [part.encode("utf-8", "backslashreplace").decode() for part in about]
    return hashlib.sha256(json.dumps(spelt).encode()).hexdigest()


def _plain(model: str) -> str:
    """The name of a model without what a shell or a habit adds: ``./models/intent/``."""
    return posixpath.normpath(model) if model else model
