"""Which model types of the library are measured, each through a whole check."""
