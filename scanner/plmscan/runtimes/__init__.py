"""What files of runtimes other than PyTorch can do besides computing: a format a module.

Each reader takes an open file and looks at names and strings only; it builds no model, loads no
library of the runtime, and its work grows with the file at most linearly.
"""
