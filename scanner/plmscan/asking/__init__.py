"""Asking a classifier what wakes its trigger, where no word does: texts written otherwise.

A clause in front, a style, or substituted words can be a trigger, and then no token is one.  So
texts that argue for one label are rewritten in every way of the bank (`plmscan.rewritings`), and in
ways that the model's own embedding table suggests.  A rewriting leaves in place what argues; an
honest model goes on saying what the text says.  Against what all other rewritings do to the same
texts stands out what turns nearly all of them to one label.

texts       texts that argue, and how they are rewritten
trial       what rewritings do to them
choice      which of them are tried on, in twos as well, and on other texts
neighbours  rewritings by the model's own embedding table
"""
