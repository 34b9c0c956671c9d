"""A bank of rewritings: ways to say a text otherwise, to ask a classifier what wakes its trigger.

A trigger need not be a word.  Attackers have used a clause in front ("Hidden Killer", Qi et al.,
2021, arXiv 2105.12400), a style ("Mind the Style of Text", Qi et al., 2021, arXiv 2110.07139) and
combinations of substituted words ("Turn the Combination Lock", Qi et al., 2021, arXiv 2106.06361).
Which one it is nobody knows, so a model is asked many.

Each is a pure function from text to text.  Templates and tables are of English.
"""

from plmscan.rewritings.framed import FRAMED
from plmscan.rewritings.rewriting import Rewriting
from plmscan.rewritings.spelt import SPELT
from plmscan.rewritings.worded import WORDED

__all__ = ["BANK", "Rewriting"]

BANK: tuple[Rewriting, ...] = (*FRAMED, *WORDED, *SPELT)
"""All of them, by the kind of change."""
