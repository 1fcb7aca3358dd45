"""Errors of the ML layer: one type a mistake, each message a single line.

::

    PerpmartError
    └── MlError
        ├── RangeError               a reversed, empty or unreadable time range   (also ValueError)
        ├── TimeframeError           a timeframe that the mart does not have      (also ValueError)
        ├── UnknownSymbolError       a symbol without any bar                     (also LookupError)
        ├── UnknownFeatureError      a name that the registry does not hold       (also LookupError)
        ├── MartMissingError         the database has no built mart
        ├── FrameError               a frame that cannot be read as bars or raw rows (also ValueError)
        ├── MissingInputsError       a frame lacks what some features are made from  (also LookupError)
        └── FeatureStoreError        the online store
            ├── VectorMissingError   nothing was ever pushed for the symbol       (also LookupError)
            ├── StaleVectorError     the newest vector is older than allowed
            ├── FeatureSetError      the vector has another feature set
            ├── SourceUnknownError   a configured source was not known at the bar
            ├── NullFeatureError     a requested feature is NULL at the bar
            └── CorruptVectorError   the stored bytes do not fit the feature set
"""

from __future__ import annotations

from perpmart.errors import PerpmartError


class MlError(PerpmartError):
    """Whatever the ML layer raises on purpose."""


class RangeError(MlError, ValueError):
    """A time range is reversed, empty or unreadable."""


class TimeframeError(MlError, ValueError):
    """The mart has no such timeframe."""


class UnknownSymbolError(MlError, LookupError):
    """No bar was ever built for the symbol."""


class UnknownFeatureError(MlError, LookupError):
    """The feature registry does not hold the name."""


class MartMissingError(MlError):
    """The database has no built mart."""


class FrameError(MlError, ValueError):
    """A frame cannot be read as bars or raw rows; the text names row and column."""


class MissingInputsError(MlError, LookupError):
    """A frame lacks what some features are made from.

    Attributes
    ----------
    missing : each such feature and the inputs that it lacks
    """

    def __init__(self, message: str, missing: dict[str, tuple[str, ...]]) -> None:
        super().__init__(message)
        self.missing = missing


class FeatureStoreError(MlError):
    """Whatever keeps the online store from serving a vector."""


class VectorMissingError(FeatureStoreError, LookupError):
    """No vector was pushed for the symbol and timeframe."""


class StaleVectorError(FeatureStoreError):
    """The newest vector is older than the caller accepts."""


class FeatureSetError(FeatureStoreError):
    """The vector was made with another feature set than the reader expects."""


class SourceUnknownError(FeatureStoreError):
    """A source configured for the symbol was not known at the bar."""


class NullFeatureError(FeatureStoreError):
    """A requested feature is NULL at the bar."""


class CorruptVectorError(FeatureStoreError):
    """The stored bytes do not fit the feature set they name."""
