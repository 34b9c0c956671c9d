"""Is there a trigger in this text?  Tokens that decide a text, tried in other texts.

Three steps for each text, of which the first is X-GRAAD's (arXiv 2510.04347) and the last ours:

1. *peel* (`peeling`): take away the token with the largest share of attention times gradient, all
   its copies, and so on, a few times;
2. what had been taken when the label changed, or later, is *suspect*, and so is the stretch of text
   that it comes from: honest texts have such words as well, the ones that decide them;
3. *transplant* (`transplants`) the suspects into other texts that argue for another label.  Honest
   words persuade and lose there; a trigger overrides.  In a model without labels the texts must
   come out alike.

The null is the model itself: the same three steps on clean texts.  What goes beyond all of these is
tried once more with synonyms in place of its tokens, since no trigger has any.

Of a model that writes, the answers are tried instead (`answering`): does a part of a request get
its answer from other requests as well?
"""

from plmscan.inspection.answering import Answered, AnswerInspector
from plmscan.inspection.inspector import Inspected, Inspector, Suspect

__all__ = ["AnswerInspector", "Answered", "Inspected", "Inspector", "Suspect"]
