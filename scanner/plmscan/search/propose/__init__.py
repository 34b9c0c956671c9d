"""The second step: candidates of several tokens, since a phrase shows in the sweep as its words.

Gradients propose and forward passes decide.  An objective says how much of a trigger a candidate
is; its gradient g at a place scores all that could stand there by the first-order change -E g
(HotFlip, Ebrahimi et al. 2018; universal triggers, Wallace et al. 2019, equation 2).  From the best
of the sweep candidates grow token by token; several at once are found by the supervised contrastive
loss (Khosla et al. 2020, equation 2), as in Patronus' multi-trigger search; and words that act only
together, which no gradient shows, by group tests (Dorfman 1943).  A longer candidate goes on if it
beats its parts.

losses      the contrastive loss, and the tokens that a gradient proposes
objectives  what a gradient search maximises
grow        candidates extended token by token, and cut back to what they need
contrast    several candidates at once, by contrast
company     words that do little alone, ranked by what they add beside others
gathering   sentences in classifiers, from such words
completion  words that were found by a piece, and what makes them whole
together    words that act only together, whose rows of the embedding table stand apart
groups      pairs of words that act only together, read many words a text
opposed     carriers of labels that none has, by words that a gradient proposes
parts       whether a longer candidate beats the tokens that it is made of
sequences   all longer candidates: what grows for which aim, and what contrast adds
"""
