-- What the build remembers between runs. All of it lives in the database, so `perpmart build`, a plain `dbt build`
-- and `perpmart live` carry on from one another.

create table if not exists models (
    model text primary key,
    relation text not null,
    reach text not null check (reach in ('symbol', 'grid', 'benchmark', 'universe')),
    benchmark text,
    grain interval not null default '5 minutes',
    streams text [] not null default '{}',
    parents text [] not null default '{}',
    columns text [] not null default '{}',
    compiled_sql text,
    definition_hash text,
    depth integer not null default 0
);
alter table models add column if not exists storage text not null default 'table' check (storage in ('table', 'continuous'));
comment on column models.storage is 'Where the rows are: table, or continuous (a continuous aggregate of TimescaleDB Community)';
comment on table models is 'Incremental dbt models: what each reads, and the SQL that dbt compiled for it';
comment on column models.reach is
'What one change can touch: symbol (its own rows), grid (also the end of every other symbol), benchmark (every symbol when the benchmark changed), universe (every symbol)';
comment on column models.grain is 'Width of the model''s rows; a range begins on it, and is seen by children from the end of its first row on';
comment on column models.streams is 'Raw tables read, directly or through staging views';
comment on column models.definition_hash is 'Hash of the compiled SQL and of the functions it calls; null until a first build is complete';

create table if not exists pending (
    id bigint generated always as identity primary key,
    model text not null,
    symbol text not null,
    from_time timestamptz not null,
    noted_at timestamptz not null default clock_timestamp()
);
create index if not exists pending_model_idx on pending (model);
comment on table pending is 'Ranges still to be computed: model, symbol (* = all), from this bar to the end';

create table if not exists definitions (
    model text primary key,
    definition_hash text not null,
    created_at timestamptz not null default clock_timestamp(),
    refreshed_at timestamptz
);
comment on table definitions is 'From what each continuous aggregate was made. One row per roll-up; none on servers without them';
comment on column definitions.definition_hash is 'Hash of the model''s SQL and of what it calls, as it was made';
alter table definitions add column if not exists raw_was_emptied boolean not null default false;
comment on column definitions.raw_was_emptied is
'Whether its raw table was truncated since its last refresh: then rows that raw lacks are to go, and are not history';
comment on column definitions.refreshed_at is 'When its first refresh was complete, UTC; null until then, and the hash is not valid';

create table if not exists taken_changes (
    singleton boolean primary key default true check (singleton),
    snapshot pg_snapshot not null,
    cluster text not null
);
comment on table taken_changes is 'The snapshot up to which raw.changes were turned into pending ranges';

create table if not exists documented (
    relation text primary key,
    definition_hash text,
    body_hash text,
    docs_hash text
);
alter table documented add column if not exists grants text;
comment on column documented.grants is 'Of a view that was dropped to be made anew: statements that give what others were granted on it';
comment on table documented is 'Tables and views that dbt made, and from what, so that a run leaves alone what has not changed';
comment on column documented.definition_hash is 'Of a view: hash of its SQL, its comments and the columns that it reads';
comment on column documented.body_hash is 'Of a view: hash of its text as PostgreSQL keeps it, which changes when somebody replaces it';
comment on column documented.docs_hash is 'Of a table: hash of its comments';

create table if not exists published (
    symbol text primary key,
    time timestamptz not null,
    published_at timestamptz not null default clock_timestamp()
);
comment on table published is 'Newest bar of each symbol whose features are complete; readers of the newest vector look no further';
