-- What is needed to submit a refused row once more, and what became of it.
alter table rejects
    add column state text not null default 'open'
        constraint rejects_state_is_known check (state in ('open', 'accepted', 'dropped')),
    add column context jsonb,
    add column tried_at timestamptz,
    add constraint rejects_are_tried_when_not_open check (state = 'open' or tried_at is not null);
create index rejects_open on rejects (id) where state = 'open';
comment on column rejects.state is 'open; accepted (submitted again, and taken); dropped (somebody decided that it is no data)';
comment on column rejects.context is 'For a line of a file: its name and columns, so that the line can be read again without the file';
comment on column rejects.tried_at is 'When it was last submitted again or dropped, UTC; NULL: never';
