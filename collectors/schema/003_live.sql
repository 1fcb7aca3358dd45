-- Raw tables of what only a listener sees (book, mark price) and the list of instruments.

create table order_book (
    symbol text not null,
    time timestamptz not null,
    slot timestamptz not null,
    bid_price double precision [] not null,
    bid_quantity double precision [] not null,
    ask_price double precision [] not null,
    ask_quantity double precision [] not null,
    last_update_id bigint,
    source text not null,
    ingested_at timestamptz not null default now(),
    primary key (symbol, slot),
    constraint order_book_slot_holds_its_time check (slot = date_bin(interval '10 seconds', time, timestamptz 'epoch')),
    constraint order_book_bids_are_sane check (book_side_is_sane(bid_price, bid_quantity, -1)),
    constraint order_book_asks_are_sane check (book_side_is_sane(ask_price, ask_quantity, 1)),
    constraint order_book_is_not_crossed check (bid_price[1] < ask_price[1])
);
comment on constraint order_book_slot_holds_its_time on order_book is 'slot is not the time floored to 10 s';
comment on constraint order_book_bids_are_sane on order_book is 'bids not positive, finite and strictly falling';
comment on constraint order_book_asks_are_sane on order_book is 'asks not positive, finite and strictly rising';
comment on constraint order_book_is_not_crossed on order_book is 'best bid not below best ask';
comment on table order_book is 'Best levels of the book, the newest snapshot of each 10 s slot. One row per symbol and slot';
comment on column order_book.time is 'Event time of the snapshot, UTC';
comment on column order_book.slot is 'time floored to 10 s';
comment on column order_book.bid_price is 'Bid prices from the best down, quote currency';
comment on column order_book.bid_quantity is 'Amounts at bid_price, base currency';
comment on column order_book.ask_price is 'Ask prices from the best up, quote currency';
comment on column order_book.ask_quantity is 'Amounts at ask_price, base currency';
comment on column order_book.last_update_id is 'Number of the book''s last update; NULL when unknown';

create table mark_price (
    symbol text not null,
    time timestamptz not null,
    slot timestamptz not null,
    mark_price double precision,
    index_price double precision,
    predicted_funding_rate double precision,
    next_funding_time timestamptz,
    source text not null,
    ingested_at timestamptz not null default now(),
    primary key (symbol, slot),
    constraint mark_price_slot_holds_its_time check (slot = date_bin(interval '10 seconds', time, timestamptz 'epoch')),
    constraint mark_price_says_something check (mark_price is not null or index_price is not null),
    constraint mark_price_is_positive check (
        mark_price > 0 and mark_price < 'infinity' and index_price > 0 and index_price < 'infinity'
    ),
    constraint mark_price_predicted_funding_rate_is_a_fraction check (
        predicted_funding_rate >= -1 and predicted_funding_rate <= 1
    )
);
comment on constraint mark_price_slot_holds_its_time on mark_price is 'slot is not the time floored to 10 s';
comment on constraint mark_price_says_something on mark_price is 'neither mark nor index price given';
comment on constraint mark_price_is_positive on mark_price is 'price not positive and finite';
comment on constraint mark_price_predicted_funding_rate_is_a_fraction on mark_price is 'predicted funding rate outside -1..1';
comment on table mark_price is 'Mark and index price, the newest of each 10 s slot. One row per symbol and slot';
comment on column mark_price.time is 'The instant the prices were true, UTC (from a kline: its close)';
comment on column mark_price.slot is 'time floored to 10 s';
comment on column mark_price.mark_price is 'Mark price, quote currency; NULL when unknown';
comment on column mark_price.index_price is 'Index price, quote currency; NULL when unknown';
comment on column mark_price.predicted_funding_rate is 'Funding rate expected for next_funding_time; NULL when unknown';
comment on column mark_price.next_funding_time is 'Next settlement, UTC; NULL when unknown';

create table instruments (
    symbol text not null,
    exchange_symbol text not null,
    valid_from timestamptz not null,
    valid_to timestamptz,
    multiplier bigint not null,
    base text not null,
    quote text not null,
    status text not null,
    price_tick double precision,
    quantity_step double precision,
    funding_interval_hours bigint,
    source text not null,
    ingested_at timestamptz not null default now(),
    primary key (symbol, valid_from),
    constraint instruments_texts_are_not_empty check (exchange_symbol <> '' and base <> '' and quote <> ''),
    constraint instruments_end_after_they_begin check (valid_to > valid_from),
    constraint instruments_numbers_are_positive check (
        multiplier > 0 and price_tick > 0 and price_tick < 'infinity'
        and quantity_step > 0 and quantity_step < 'infinity' and funding_interval_hours > 0
    )
);
comment on constraint instruments_texts_are_not_empty on instruments is 'exchange symbol, base or quote is empty';
comment on constraint instruments_end_after_they_begin on instruments is 'valid_to not after valid_from';
comment on constraint instruments_numbers_are_positive on instruments is 'multiplier, tick, step or interval not positive';
comment on table instruments is 'Listings of perpetuals; a ticker used again has another row. One row per symbol and listing';
comment on column instruments.exchange_symbol is 'Name at the exchange: SOLUSDT';
comment on column instruments.valid_from is 'Start of trading, UTC';
comment on column instruments.valid_to is 'End of trading, UTC; NULL while listed';
comment on column instruments.multiplier is 'Coins in one unit of base (1000 for 1000PEPE/USDT)';
comment on column instruments.base is 'Base currency as the contract names it';
comment on column instruments.quote is 'Quote and margin currency';
comment on column instruments.status is 'Trading status given by the exchange';
comment on column instruments.price_tick is 'Smallest step of the price, quote currency';
comment on column instruments.quantity_step is 'Smallest step of the quantity, base currency';
comment on column instruments.funding_interval_hours is 'Hours between settlements now; NULL when unknown';

-- What all raw tables share.
do $$
declare
    name text;
    time_column text;
begin
    for name, time_column in values
        ('ohlcv', 'time'), ('open_interest', 'time'), ('funding_rate', 'funding_time'), ('liquidations', 'time'),
        ('long_short_ratio', 'time'), ('order_book', 'time'), ('mark_price', 'time'), ('instruments', 'valid_from')
    loop
        execute format(
            'alter table %1$I
                add constraint %1$s_symbol_is_canonical check (symbol like ''_%%/_%%'' and strpos(symbol, '':'') = 0),
                add constraint %1$s_source_is_known check (source in (''rest'', ''stream'', ''archive'')),
                add constraint %1$s_time_is_possible check (
                    %2$I >= timestamptz ''2010-01-01 00:00+00'' and %2$I < timestamptz ''2200-01-01 00:00+00'')',
            name, time_column);
        execute format('comment on constraint %1$s_symbol_is_canonical on %1$I is %2$L', name, 'symbol not of the form SOL/USDT');
        execute format('comment on constraint %1$s_source_is_known on %1$I is %2$L', name, 'unknown source');
        execute format('comment on constraint %1$s_time_is_possible on %1$I is %2$L', name, 'time outside 2010..2200');
        execute format('comment on column %I.symbol is %L', name, 'The USDT-margined perpetual, written SOL/USDT');
        execute format('comment on column %I.source is %L', name, 'Where the row came from: archive beats rest beats stream');
        execute format('comment on column %I.ingested_at is %L', name, 'When this version entered the table (information only)');
        if exists (select from pg_attribute where attrelid = name::regclass and attname = 'borrowed') then
            execute format('comment on column %I.borrowed is %L', name,
                'Columns that the row''s own source left unknown and another supplied, with that source; else NULL');
        end if;
    end loop;
end
$$;
