"""The search for input-side invariant triggers.

candidates   what can be typed at all, and how it reads
sweep        every vocabulary item in a three- or four-token input: who is far out?
verify       displacement and scatter of the far-out on natural carriers, against the null
variants     which findings are one trigger, and which spill over from another
recipes      how much of each, by effort
"""
