"""The third step: finalists on carriers of their own, against what honest tokens do there.

What was selected by luck on one set of carriers is not confirmed by the same luck on another.  Two
nulls are the model's own: random items as long as the candidate, and the candidate with its tokens
exchanged for synonyms.  Of the first come robust z and rank p-value of -log S at the most invariant
location, p = (1 + items at least as invariant) / (1 + items), with the null's own maxima over the
locations (max-T, Westfall and Young 1993); of the second the gap, S of what honest words reach in
multiples of its own.  Patronus' gate has two fixed cosines in this place, 0.9 and 0.4, which do not
carry over from one architecture to another (design, section 4).

finals      what of the candidates holds on carriers that no selection saw
null        the null of random items: z and p-value of finalists
neighbours  which tokens mean nearly the same
synonyms    the null of synonyms: would honest words with the same meaning do it?
gaps        how far finalists are from what synonyms do
"""
