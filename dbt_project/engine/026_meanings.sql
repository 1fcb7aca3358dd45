-- From what a model's rows were computed, as one hash that is the same on every server: it names the values of a feature.

alter table models add column if not exists source_hash text;
alter table models add column if not exists meaning text;
comment on column models.source_hash is
'Hash of the model''s own SQL and of the views and functions of ours that it reads; as dbt and the engine wrote them';
comment on column models.meaning is 'Hash of source_hash and of the parents'' meanings, set by the run that computed the rows by them';
alter table documented add column if not exists compiled_sql text;
alter table documented add column if not exists model text;
alter table documented add column if not exists parents text [] not null default '{}';
alter table documented add column if not exists source_hash text;
comment on column documented.compiled_sql is 'Of a view: its SQL as dbt compiled it, less the name of the database';
comment on column documented.model is 'Of a view that computes features: its name in dbt';
comment on column documented.parents is 'Of such a view: the incremental models that it reads';
comment on column documented.source_hash is 'Of such a view: as in models';

create or replace function plain_text(sql text) returns text
language sql stable
set search_path from current
as $$
    -- Without comments, line breaks and the prefix of our schemas.
    select regexp_replace(
        regexp_replace(
            regexp_replace(without_database(sql), '--[^\n]*', '', 'g'),
            '"' || regexp_replace(current_schema(), 'build$', '') || '(raw|build|staging|rollups|bars|features|mart|seeds)"\.',
            '"\1".', 'g'
        ),
        '\s+', ' ', 'g'
    )
$$;
comment on function plain_text is 'SQL as every database of the project has it, whatever its name, prefix and layout';

create or replace function source_hash(compiled_sql text) returns text
language plpgsql stable
set search_path from current
as $$
declare
    own constant oid := (select pronamespace from pg_proc where oid = 'cluster_name()'::regprocedure);
    texts text := without_database(compiled_sql);
    parts text[] := array[plain_text(compiled_sql)];
    views oid[] := '{}';
    functions oid[] := '{}';
    found oid[];
    found_texts text[];
begin
    loop
        select array_agg(r.id order by r.name), array_agg(d.compiled_sql order by r.name) into found, found_texts
        from read_relations(texts) as r
        left join documented as d on to_regclass(d.relation) = r.id
        where
            r.kind = 'v' and r.id <> all(views)
            and r.id not in (select to_regclass(m.relation) from models as m where m.storage = 'continuous' and to_regclass(m.relation) is not null);
        exit when found is null;
        if array_position(found_texts, null) is not null then
            return null; -- made by an older version: known after the view's next run
        end if;
        views := views || found;
        texts := texts || ' ' || array_to_string(found_texts, ' ');
        parts := parts || (select array_agg(plain_text(t) order by ordinal) from unnest(found_texts) with ordinality as v (t, ordinal));
    end loop;
    found := null;
    loop
        -- The stand-ins for TimescaleDB's functions mean what those mean.
        select array_agg(p.oid), string_agg(b.body, ' ') into found, texts
        from pg_proc as p
        cross join lateral function_body(p.oid) as b
        where
            p.pronamespace = own and p.oid <> all(functions) and p.proname not in ('time_bucket', 'first', 'last')
            and p.proname = any(array(select called_names(texts)));
        exit when found is null;
        functions := functions || found;
    end loop;
    return md5(concat_ws(
        ';', array_to_string(parts, ';'),
        (
            select string_agg(f.said, ',' order by f.said collate "C")
            from (
                select p.proname || '(' || pg_get_function_arguments(p.oid) || ')' || plain_text(b.body) || coalesce(a.agginitval, '') as said
                from unnest(functions) as id
                inner join pg_proc as p on id = p.oid
                cross join lateral function_body(p.oid) as b
                left join pg_aggregate as a on p.oid = a.aggfnoid
            ) as f
        )
    ));
end
$$;
comment on function source_hash is
'Hash of a model''s SQL with that of the views and functions of ours that it reads; null while a view''s text is not known';

create or replace function note_meaning(p_model text) returns void
language sql
set search_path from current
as $$
    update models as m
    set meaning = (
        select case when count(*) = count(p.meaning) then md5(concat_ws(';', m.source_hash, string_agg(p.meaning, ',' order by p.model collate "C"))) end
        from models as p where p.model = any(m.parents)
    )
    where m.model = p_model and m.source_hash is not null
$$;
comment on function note_meaning is 'Note that a model''s rows are those of its own and its parents'' present definitions';

create or replace function note_source(p_model text, sql text, is_made_of_it boolean) returns void
language plpgsql
set search_path from current
as $$
begin
    -- Of a database of an older version: what stands was made of this very SQL.
    if is_made_of_it and exists (select 1 from models as m where m.model = p_model and m.meaning is null) then
        update models set source_hash = source_hash(sql) where model = p_model;
        perform note_meaning(p_model);
    end if;
end
$$;

create or replace function note_view_source(view text, sql text, p_model text, p_parents text []) returns void
language sql
set search_path from current
as $$
    update documented
    set compiled_sql = without_database(sql), model = p_model, parents = p_parents,
        source_hash = case when p_model is not null then source_hash(sql) end
    where relation = without_database(view)
$$;
comment on function note_view_source is 'Keep the text of a view; of one that computes features (a model is named) also its hash and the models it reads';

create or replace view meanings as
select m.model, m.meaning from models as m
union all
select
    d.model,
    (
        select case when count(*) = count(p.meaning) then md5(concat_ws(';', d.source_hash, string_agg(p.meaning, ',' order by p.model collate "C"))) end
        from models as p where p.model = any(d.parents)
    )
from documented as d
where d.model is not null and d.source_hash is not null;
comment on view meanings is 'From what the rows of each model, or of each view with features, are computed: one row per model';
