-- What is known about the rows: which times were listened for, what is missing, what was refused, what was
-- replaced, and which changes a build has yet to read. These tables can't be added later: they remember.

create table coverage (
    stream text not null constraint coverage_stream_is_named check (stream <> ''),
    symbol text not null constraint coverage_symbol_is_named check (symbol <> ''),
    from_time timestamptz not null,
    to_time timestamptz not null,
    source text not null
        constraint coverage_source_is_known check (source in ('rest', 'stream', 'archive')),
    primary key (stream, symbol, source, from_time),
    constraint coverage_has_a_length check (
        from_time < to_time
        and from_time >= timestamptz '2010-01-01 00:00+00' and to_time < timestamptz '2200-01-01 00:00+00'
    )
);
comment on table coverage is
'Finished segments [from_time, to_time) for which a source gave everything there is; segments of one source neither touch nor overlap. One row per stream, symbol, source and segment';
comment on column coverage.stream is 'Table and part: ohlcv:5m, open_interest:5m, funding_rate, liquidations, long_short_ratio:global_account:5m, order_book, mark_price';
comment on column coverage.symbol is 'Canonical symbol (SOL/USDT), or * for all symbols';
comment on column coverage.from_time is 'First instant covered, UTC';
comment on column coverage.to_time is 'First instant no longer covered, UTC';
comment on column coverage.source is 'Who answered or listened: rest, stream or archive';

create table gaps (
    id bigint generated always as identity primary key,
    stream text not null constraint gaps_stream_is_named check (stream <> ''),
    symbol text not null constraint gaps_symbol_is_named check (symbol <> ''),
    from_time timestamptz not null,
    to_time timestamptz not null,
    cause text not null constraint gaps_cause_is_said check (cause <> ''),
    state text not null default 'open'
        constraint gaps_state_is_known check (state in ('open', 'repaired_rest', 'repaired_archive', 'unrepairable')),
    noted_at timestamptz not null default now(),
    resolved_at timestamptz,
    unique (stream, symbol, from_time, to_time),
    constraint gaps_have_a_length check (from_time < to_time),
    constraint gaps_are_resolved_when_not_open check ((state = 'open') = (resolved_at is null))
);
comment on table gaps is
'Holes that were noticed: [from_time, to_time) without data, why, and what became of them. One row per stream, symbol and hole';
comment on column gaps.id is 'Number of the hole';
comment on column gaps.stream is 'Table and part, as in coverage';
comment on column gaps.symbol is 'Canonical symbol, or * for all symbols';
comment on column gaps.from_time is 'First missing instant, UTC';
comment on column gaps.to_time is 'First instant no longer missing, UTC';
comment on column gaps.cause is 'Why data are missing, in words';
comment on column gaps.state is 'open, repaired_rest, repaired_archive, or unrepairable (no source has it)';
comment on column gaps.noted_at is 'When the hole was first noticed';
comment on column gaps.resolved_at is 'When it left the state open; NULL while open';

create table rejects (
    id bigint generated always as identity primary key,
    stream text not null,
    received_at timestamptz not null default now(),
    source text not null constraint rejects_source_is_known check (source in ('rest', 'stream', 'archive')),
    origin text not null,
    reason text not null,
    payload text not null
);
-- What is received again is refused again, but noted once.
create unique index rejects_are_noted_once on rejects (
    stream, md5(origin), md5(reason), md5(payload)
);
comment on table rejects is 'Rows received that make no sense, kept as they came. One row per refused payload and origin';
comment on column rejects.id is 'Number of the refusal';
comment on column rejects.stream is 'Table that the row was meant for (with its part where known)';
comment on column rejects.received_at is 'When it was first received';
comment on column rejects.source is 'rest, stream or archive';
comment on column rejects.origin is 'Where it was read: file:line, or address';
comment on column rejects.reason is 'Why it was refused, in words';
comment on column rejects.payload is 'The row as received (cut when very long)';

create table revisions (
    stream text not null,
    key jsonb not null,
    old jsonb not null,
    old_source text not null,
    valid_from timestamptz not null,
    valid_to timestamptz not null,
    constraint revisions_end_after_they_begin check (valid_from <= valid_to)
);
create index revisions_by_time on revisions (stream, valid_to);
-- A newcomer that loses is received again at each reading: once is enough.
create unique index revisions_losers_are_noted_once on revisions (
    stream, md5(key::text), md5(old::text), old_source
) where valid_from = valid_to;
comment on table revisions is
'Versions that a raw table no longer holds: replaced, deleted, or (valid_from = valid_to) newcomers that lost against a stronger source and never stood. One row per stream, key and version';
comment on column revisions.stream is 'Raw table';
comment on column revisions.key is 'Primary key of the row';
comment on column revisions.old is 'All measures of the version';
comment on column revisions.old_source is 'Source of the version: rest, stream or archive';
comment on column revisions.valid_from is 'When the version entered the table';
comment on column revisions.valid_to is 'When it left the table';

create table changes (
    id bigint generated always as identity primary key,
    xid xid8 not null default pg_current_xact_id(),
    stream text not null,
    symbol text not null,
    from_time timestamptz not null,
    to_time timestamptz not null
);
create index changes_by_transaction on changes (xid);
comment on table changes is
'What each transaction changed in the raw tables, written in the same transaction; a build takes those not visible in the snapshot it stored last. One row per statement, stream and symbol';
comment on column changes.id is 'Number of the change';
comment on column changes.xid is 'Transaction that made it: compare with pg_visible_in_snapshot';
comment on column changes.stream is 'Raw table; a change of coverage is noted under the table it speaks of';
comment on column changes.symbol is 'Canonical symbol, or * for all symbols';
comment on column changes.from_time is 'Earliest time of a changed row (-infinity: all)';
comment on column changes.to_time is 'Latest time of a changed row (infinity: all)';
