"""Hold a build against the reference: the same rows, the same NULLs, values within the tolerance."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from .margins import TOLERANCE
from .twin import Twin

SHOWN = 12


def _by_key(frame: pd.DataFrame) -> pd.DataFrame:
    """Index by (symbol, time) in UTC microseconds, ordered."""
    flat = frame.reset_index() if list(frame.index.names) == ["symbol", "time"] else frame
    times = pd.to_datetime(flat["time"], utc=True).astype("datetime64[us, UTC]")
    keyed = flat.assign(symbol=flat["symbol"].astype(object), time=times)
    return keyed.set_index(["symbol", "time"]).sort_index()


def _check_rows(actual: pd.DataFrame, expected: pd.DataFrame) -> None:
    if not actual.index.is_unique:
        raise AssertionError(f"rows twice: {actual.index[actual.index.duplicated()][:5].tolist()}")
    absent = expected.index.difference(actual.index)
    extra = actual.index.difference(expected.index)
    if len(absent) or len(extra):
        raise AssertionError(
            f"{len(absent)} rows are absent, first {absent[:3].tolist()}; "
            f"{len(extra)} are too many, first {extra[:3].tolist()}"
        )


def _aligned(frame: pd.DataFrame, like: pd.DataFrame, name: str, default: float) -> np.ndarray:
    if name not in frame:
        return np.full(len(like), default)
    return _by_key(frame[[name]])[name].reindex(like.index).to_numpy()


def _examine(
    actual: pd.Series, expected: pd.Series, scale: np.ndarray, skip: np.ndarray
) -> dict[str, object]:
    """Compare one feature; the error is |a - b| / max(|a|, |b|, s), infinite for NULL against a value."""
    a, b = (x.astype(float).to_numpy() for x in (actual, expected))
    known = ~(np.isnan(a) | np.isnan(b))
    size = np.maximum(np.maximum(np.abs(a), np.abs(b)), scale)
    error = np.zeros(len(a))
    apart = known & (a != b)
    error[apart] = np.abs(a - b)[apart] / size[apart]
    error[np.isnan(a) != np.isnan(b)] = np.inf
    error[skip] = 0
    worst = int(error.argmax()) if len(error) else 0
    return {
        "values": int(known.sum()),
        "nulls": int(np.isnan(b).sum()),
        "null_mismatches": int(np.isinf(error).sum()),
        "undecided": int(skip.sum()),
        "over": int((error > TOLERANCE).sum()),
        "worst": error[worst] if len(error) else 0.0,
        "symbol": expected.index[worst][0] if len(error) else None,
        "time": expected.index[worst][1] if len(error) else None,
        "actual": a[worst] if len(error) else np.nan,
        "expected": b[worst] if len(error) else np.nan,
    }


def differences(
    actual: pd.DataFrame, expected: Twin, *, features: Sequence[str] | None = None
) -> pd.DataFrame:
    """Compare feature by feature.

    Parameters
    ----------
    actual : columns symbol and time (or an index of them) and the features; NaN or None for NULL
    expected : as from `twin.compute_twin`
    features : names to compare; None compares all of the reference

    Returns
    -------
    frame indexed by feature, the worst first: values and nulls (of the reference), null_mismatches, undecided
    (values left out because of a threshold), over (values beyond 1e-9), worst (greatest error), and the
    place and both values of it

    Raises
    ------
    AssertionError
        when the rows are not the same, or a feature is absent
    """
    mine, reference = _by_key(actual), _by_key(expected.features)
    _check_rows(mine, reference)
    names = list(features) if features is not None else list(reference)
    absent = [name for name in names if name not in mine]
    if absent:
        raise AssertionError(f"features are absent: {absent}")
    mine = mine.reindex(reference.index)
    found = {}
    for name in names:
        scale = _aligned(expected.scales, reference, name, 1.0)
        skip = _aligned(expected.undecided, reference, name, 0.0).astype(bool)
        found[name] = _examine(mine[name], reference[name], scale, skip)
    report = pd.DataFrame.from_dict(found, orient="index")
    report.index.name = "feature"
    return report.sort_values("worst", ascending=False)


def assert_equal(
    actual: pd.DataFrame,
    expected: Twin,
    *,
    features: Sequence[str] | None = None,
    allowances: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Raise unless a build equals the reference (see `differences`), give the report otherwise.

    Parameters
    ----------
    allowances : wider tolerance of single features, for reasons the caller states

    Raises
    ------
    AssertionError
        names the features that differ, how often, and the worst place of each
    """
    report = differences(actual, expected, features=features)
    tolerance = pd.Series(TOLERANCE, index=report.index)
    for name, allowed in (allowances or {}).items():
        tolerance[name] = allowed
    wrong = report[report["worst"] > tolerance]
    if len(wrong):
        raise AssertionError(f"{len(wrong)} features differ, worst first:\n{wrong.head(SHOWN).to_string()}")
    return report
