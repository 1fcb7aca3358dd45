"""Orders of arrival, drawn by hypothesis."""

from hypothesis import strategies as st

from collectors.rows import Source

from .arrivals import BARS, RAW, SLOTS, SYMBOLS, Step


@st.composite
def plans(draw: st.DrawFn) -> list[Step]:
    """Draw an order of arrival: most slots in time, some late, twice or from elsewhere, and surprises."""
    deliveries = []
    for symbol in SYMBOLS:
        waits = draw(st.sampled_from([0, 0, 0, 1, SLOTS]))  # a symbol that is added later
        for slot in range(SLOTS):
            delay = draw(st.sampled_from([0, 0, 0, 0, 1, 2, SLOTS]))
            source: Source = draw(st.sampled_from(["rest", "rest", "archive", "stream"]))
            deliveries.append((slot + waits + delay, Step("deliver", symbol=symbol, at=slot, source=source)))
            if draw(st.sampled_from([False, False, False, True])):
                again = Step("deliver", symbol=symbol, at=slot, source="archive")
                deliveries.append((slot + waits + delay + 1, again))
    for slot in range(1, SLOTS):
        bars = draw(st.sampled_from([0, 0, 1, 3, 8]))
        deliveries.append((slot - 0.5, Step("bars", at=slot * BARS // SLOTS, length=bars)))
    steps: list[Step] = []
    last = 0.0
    for at, step in sorted(deliveries, key=lambda delivery: delivery[0]):
        if at != last and draw(st.booleans()):
            steps.append(Step("run"))
        last = at
        steps.append(step)
    for step in draw(st.lists(surprises(), min_size=1, max_size=5)):
        steps.insert(draw(st.integers(0, len(steps))), step)
        if draw(st.booleans()):
            steps.append(Step("run"))
            steps.append(draw(surprises()))
    return steps


def surprises() -> st.SearchStrategy[Step]:
    """Draw something that happens to the data or to a run."""
    symbol = st.sampled_from(SYMBOLS)
    at_row = st.one_of(st.integers(-3, -1), st.integers(0, BARS - 1))
    at_bar = st.integers(0, BARS - 1)
    few = st.sampled_from([1, 1, 3, 40, 300])
    table = st.sampled_from(RAW)
    stream = st.sampled_from(["ohlcv:5m", "ohlcv:5m", "liquidations"])
    source: st.SearchStrategy[Source] = st.sampled_from(["rest", "archive", "stream"])
    return st.one_of(
        st.builds(Step, st.just("correct"), table, symbol, at_row, few),
        st.builds(Step, st.just("delete"), table, symbol, at_row, few),
        st.builds(Step, st.just("cover"), stream, st.sampled_from([*SYMBOLS, "*"]), at_bar, few, source),
        st.builds(Step, st.just("withdraw"), stream, symbol, at_bar, few),
        st.builds(Step, st.just("delist"), st.just("instruments"), symbol, st.integers(1, BARS - 1)),
        st.builds(
            Step,
            st.just("relist"),
            st.just("instruments"),
            symbol,
            st.integers(1, BARS - 50),
            st.integers(0, 40),
        ),
        st.builds(Step, st.just("late"), table, symbol, at_row, few),
        st.builds(Step, st.just("both"), st.just(""), symbol, st.integers(0, SLOTS - 1), st.just(0), source),
        st.builds(Step, st.just("cancel"), length=st.integers(1, 900)),
        st.builds(Step, st.just("truncate"), table),
    )
