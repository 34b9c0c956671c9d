"""The command ``plmscan fleet``: `command` reads its options, `running` does what they ask."""
