"""Errors that a person can act on.

    PerpmartError
    ├── SettingsError      a setting is misspelt, malformed or missing
    ├── DatabaseError      PostgreSQL cannot be reached, or refuses us
    ├── RedisError         Redis cannot be reached, or refuses us
    └── ServerError        an embedded server cannot be started or stopped

The text of each is one line that says what is wrong and where; the command line prints it as it is.
"""


class PerpmartError(Exception):
    """Base of the errors whose text is meant for the person at the keyboard."""


class SettingsError(PerpmartError):
    """A setting is misspelt, malformed or missing."""


class DatabaseError(PerpmartError):
    """PostgreSQL cannot be reached, or refuses us."""


class RedisError(PerpmartError):
    """Redis cannot be reached, or refuses us."""


class ServerError(PerpmartError):
    """An embedded server cannot be started or stopped."""
