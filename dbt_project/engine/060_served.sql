-- Every vector that readers of Redis may have acted on, as it was sent.

create table if not exists served (
    symbol text not null,
    timeframe text not null,
    time timestamptz not null,
    available_at timestamptz not null,
    pushed_at timestamptz not null,
    revision integer not null check (revision > 0),
    feature_set text not null,
    unknown_sources text [] not null default '{}',
    v double precision [] not null,
    primary key (symbol, timeframe, time, revision)
);
alter table served add column if not exists cause text not null default '';
alter table served add column if not exists acknowledged_at timestamptz;
comment on table served is
'Vectors pushed to the online store, to be compared with the mart later. One row per symbol, timeframe, bar and revision';
comment on column served.time is 'Open of the bar, UTC';
comment on column served.available_at is 'First instant at which the bar may be used, UTC';
comment on column served.pushed_at is 'When the vector was sent, UTC';
comment on column served.revision is '1 for the first version of the bar that was sent; each correction has the next number';
comment on column served.feature_set is 'Hash of names, order, formulas and definitions of the features';
create table if not exists served_sets (
    feature_set text primary key,
    features jsonb not null,
    first_served_at timestamptz not null default clock_timestamp()
);
comment on table served_sets is 'Feature sets of served vectors: what each place of a vector means. One row per set';
comment on column served_sets.features is 'Name, formula and hash of the definition of each feature, in the order of the vector';
comment on column served_sets.first_served_at is 'When a vector of it was first sent, UTC';
comment on column served.unknown_sources is 'Sources collected for the symbol that were not known at this bar';
comment on column served.v is 'The features in registry order as sent: NaN stands for NULL';
comment on column served.cause is 'Why the bar has this revision, in words; empty for a first version';
comment on column served.acknowledged_at is
'When the online store had taken the vector, UTC; null when the sender died before it knew: it may have been read';
