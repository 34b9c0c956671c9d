"""The search for input-side invariant triggers.

candidates   what can be typed at all, and how it reads
sweep        every vocabulary item in a three- or four-token input: who is far out?
labels       which words argue for each label, and what overrides them
packing      which texts go through the model together
panel        carriers, and what the model says of them with and without a candidate
verify       displacement, scatter, push and corruption of candidates, against the null
objective    what a gradient search maximises, and where its gradients point
grow         candidates extended token by token, and cut back to what they need
finalists    who goes on: the best of every kind
neighbours   which tokens mean nearly the same
support      would a synonym do the same?
variants     which findings are one trigger, and which spill over from another
cores        what of a longer trigger does it all alone
landscape    all of it from afar, for a plot
pipeline     all of it, start to end
recipes      how much of each, by effort
"""
