"""What ``plmscan purify`` and ``plmscan guard`` do to the backdoors of a zoo, beside baselines.

    python -m tests.zoo build --tier full --out ZOO --texts SST2
    python -m tests.benchmarks.mitigation --zoo ZOO --sst2 SST2 [--only NAME...] [--markdown FILE]

For every backdoored model whose triggers are made of tokens, and whose report names a trigger:

steps       the report, if there is none that fits, and the purified copy, both through the command
            line and measured: seconds and megabytes
effects     what the planted triggers still do, and what is left of the model, on held-out texts of
            SST-2; by plain means, without plmscan
baselines   fine-tuning on clean texts, and pruning of heads, of the same model
versions    the five of them: as it was, before the attack, purified, fine-tuned, pruned
filters     ``plmscan guard`` in front of classifiers, by the report's triggers and by inspection
results     what is kept in ``ZOO/benchmark/mitigation/NAME/``
tables      all of it for people, and how many models meet each target

A result that was measured on the same files in the same way is not measured again, so an
interrupted run goes on where it stopped; ``--again`` forgets all but the reports, and ``--skip``
leaves parts out.  What plmscan did is done again after a change of its source, the baselines are
not.  Nothing is asserted.  Seconds are only as honest as the machine is quiet.
"""
