"""Backdoor attacks, one file each, named for the paper."""
