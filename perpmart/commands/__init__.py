"""The commands, by theme; each reads the settings, calls one function and prints what it gave.

What a command needs is imported inside it, so that ``perpmart --help`` answers at once.
"""
