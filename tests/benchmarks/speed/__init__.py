"""How fast plmscan is on models of some sizes, and what the machine itself would allow.

    python -m tests.benchmarks.speed [--shapes minilm base ...] [--device auto] [--out DIR]
    python -m tests.benchmarks.speed --shapes --folders FOLDER ...        (models of your own)
    python -m tests.benchmarks.speed --scaling --shapes        (how cost grows, and nothing else)
    python -m tests.benchmarks.speed --only-report [--markdown FILE]

minilm is the real model that the demo brings along; the others have the sizes of BERT's, or of a
multilingual encoder with 250 000 pieces, and random weights, since numbers cost the same whatever
they are.

shapes      the models, written once under ``--out``
child       one piece of work in a process of its own: a sweep, or a verification
product     the machine's own speed, from the widest matrix product of the model
heard       ``plmscan check``, the command line as it is, with an ear at its progress
stages      what that ear makes of it: wall time by probe, and by step of the trigger sweep
starting    commands that measure nothing: whole processes, start to end
hashing     SHA-256 of the weights against a plain read of them
scaling     the sweep by vocabulary, layers, rows and threads; the verification by carriers
results     what is kept under ``--out``, a file a shape and device
tables      all of it for people; figure draws it

The matrix product is timed between the batches of the sweep, so that both see the same machine in
the same minute.  Times of whole processes are not spread over repetitions except where the table
says so: nothing else may run on the machine.  Threads are torch's own choice.  On a GPU the sweep
is tried with several numbers of rows, of which the fastest counts.  Nothing is asserted.
"""
