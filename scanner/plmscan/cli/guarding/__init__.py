"""The command ``plmscan guard``: its options in ``command``, its work in ``streaming``."""
