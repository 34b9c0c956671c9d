"""What a fleet costs beside the scans themselves, and what it survives.

``python -m tests.benchmarks.fleet many`` sends ten thousand models through the scheduler with the
scan replaced by a stub; ``overhead`` compares a fleet of one machine with ``plmscan check A B C``;
``sixty`` has sixty models of mixed kinds checked on three machines while one is removed and the
driver killed; ``sizing`` extrapolates by the estimate.  They print tables and assert nothing about
time.
"""
