"""What is said to whoever runs a command, and where reports go.

``stderr`` has the lines beside a report, ``progress`` those that come and go; ``output`` writes a
report whole or not at all, and ``delivery`` knows which go where; ``failures`` makes a sentence of
whatever goes wrong, and ``machine`` knows what is wrong with the machine.
"""
