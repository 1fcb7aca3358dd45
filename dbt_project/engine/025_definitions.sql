-- What a model's definition is made of, and how tables and views follow it without harm to what users built on them.

create or replace function layers() returns text []
language sql stable
set search_path from current
as $$
    select array_agg(regexp_replace(current_schema(), 'build$', '') || layer)
    from unnest('{staging,rollups,bars,features,mart,seeds}'::text[]) as layer
$$;
comment on function layers is 'Schemas that dbt fills, with the prefix of this one';

create or replace function without_database(sql text) returns text
language sql stable
return replace(sql, '"' || current_database() || '".', '');
comment on function without_database is
'SQL as dbt writes it, less the name of this database: a copy or a restore under another name carries on';

create or replace function called_names(sql text) returns setof name
language sql immutable
as $$ select distinct found[1]::name from regexp_matches(sql, '\m([a-z]\w*)\s*\(', 'g') as found $$;

create or replace function read_relations(sql text) returns table (id oid, kind "char", name text)
language sql stable
set search_path from current
as $$
    -- Relations of our layers, quoted as dbt writes their names, or as PostgreSQL shows them in a view's text.
    select c.oid, c.relkind, format('%I.%I', n.nspname, c.relname)
    from (
        select distinct found[1] as layer, found[2] as relation
        from regexp_matches(sql, '"?(\w+)"?\."?(\w+)"?', 'g') as found
    ) as written
    inner join pg_namespace as n on written.layer = n.nspname
    inner join pg_class as c on n.oid = c.relnamespace and written.relation = c.relname
    where n.nspname = any(layers())
$$;

create or replace function seeds_hash(sql text) returns text
language plpgsql stable
set search_path from current
as $$
declare
    seed text;
    hash text;
    hashes text := '';
begin
    for seed in
        select r.name from read_relations(sql) as r where r.kind = 'r' and r.name ~ ('^' || (layers())[6] || '\.') order by 1
    loop
        execute format('select md5(string_agg(t::text, %L order by t::text)) from %s as t', ';', seed) into hash;
        hashes := hashes || coalesce(hash, '-');
    end loop;
    return hashes;
end
$$;
comment on function seeds_hash is 'Hash of the rows of the seeds that the SQL reads';

create or replace function function_body(id oid) returns table (body text, hash text)
language sql stable
set search_path from current
as $$
    select concat(pg_get_function_sqlbody(p.oid), p.prosrc, ' ' || a.aggtransfn::text || '(', ' ' || nullif(a.aggfinalfn, 0)::text || '('),
        md5(concat_ws(';', pg_get_function_sqlbody(p.oid), p.prosrc, p.proargtypes, a.aggtransfn, a.aggfinalfn, a.agginitval))
    from pg_proc as p
    left join pg_aggregate as a on p.oid = a.aggfnoid
    where p.oid = id
$$;

create or replace function definition_hash(compiled_sql text) returns text
language plpgsql stable
set search_path from current
as $$
declare
    own constant oid := (select pronamespace from pg_proc where oid = 'cluster_name()'::regprocedure);
    sql constant text := without_database(compiled_sql);
    texts text := sql;
    views oid[] := '{}';
    functions oid[] := '{}';
    found oid[];
begin
    loop
        -- A continuous aggregate is a view too, but the model has a hash of its own and hands its changes on.
        select array_agg(r.id order by r.name) into found
        from read_relations(texts) as r
        where
            r.kind = 'v' and r.id <> all(views)
            and r.id not in (select to_regclass(m.relation) from models as m where m.storage = 'continuous' and to_regclass(m.relation) is not null);
        exit when found is null;
        views := views || found;
        texts := texts || ' ' || (select string_agg(pg_get_viewdef(v), ' ' order by v::regclass::text) from unnest(found) as v);
    end loop;
    found := null;
    texts := texts || ' ';
    loop
        select array_agg(p.oid), string_agg(b.body, ' ') into found, texts
        from pg_proc as p
        cross join lateral function_body(p.oid) as b
        where p.pronamespace = own and p.proname = any(array(select called_names(texts))) and p.oid <> all(functions);
        exit when found is null;
        functions := functions || found;
    end loop;
    return md5(concat_ws(
        ';',
        sql,
        (select string_agg(b.hash, ',' order by b.hash) from unnest(functions) as f cross join lateral function_body(f) as b),
        (select string_agg(md5(pg_get_viewdef(v)), ',' order by v::regclass::text) from unnest(views) as v),
        seeds_hash(sql)
    ));
end
$$;
comment on function definition_hash is
'Hash of a model''s SQL, and of the views, functions and seeds of ours that it reads, directly or not';

create or replace function views_on(relation regclass, column_number smallint) returns table (view regclass, is_own boolean)
language sql stable
set search_path from current
as $$
    select distinct r.ev_class::regclass, exists (select 1 from documented as d where to_regclass(d.relation) = r.ev_class)
    from pg_depend as d
    inner join pg_rewrite as r on d.objid = r.oid
    where
        d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
        and d.refobjid = relation and d.refobjsubid = column_number and r.ev_class <> relation
$$;
comment on function views_on is 'Views that need a column of a relation, and whether dbt made them';

create or replace function agree_columns(relation text, names text [], types text []) returns void
language plpgsql
set search_path from current
as $$
declare
    wanted record;
    lost record;
    users_views text;
begin
    for wanted in
        select w.name, w.type, format_type(a.atttypid, a.atttypmod) as present
        from unnest(names, types) with ordinality as w (name, type, ordinal)
        left join pg_attribute as a on a.attrelid = relation::regclass and a.attname = w.name and not a.attisdropped
        order by w.ordinal
    loop
        if wanted.present is null then
            execute format('alter table %s add column %I %s', relation, wanted.name, wanted.type);
        elsif wanted.present <> format_type(wanted.type::regtype, null) then
            execute format('alter table %s alter column %2$I type %3$s using %2$I::%3$s', relation, wanted.name, wanted.type);
        end if;
    end loop;
    for lost in
        select a.attname as name, a.attnum as number
        from pg_attribute as a
        where a.attrelid = relation::regclass and a.attnum > 0 and not a.attisdropped and a.attname <> all(names)
    loop
        select string_agg(v.view::text, ', ' order by v.view::text) into users_views
        from views_on(relation::regclass, lost.number) as v where not v.is_own;
        if users_views is not null then
            raise exception 'column % of % is no longer made, but % needs it: change or drop that view first',
                lost.name, relation, users_views;
        end if;
        -- Our own views still show it: they are made anew later in the run, and drop_lost_columns comes last.
        if not exists (select 1 from views_on(relation::regclass, lost.number)) then
            execute format('alter table %s drop column %I', relation, lost.name);
        end if;
    end loop;
end
$$;
comment on function agree_columns is
'Give a table the columns of its contract; a column that is no longer made goes, unless a user''s view needs it: that is an error';

create or replace function drop_lost_columns() returns void
language plpgsql
set search_path from current
as $$
declare
    lost record;
begin
    for lost in
        select m.relation, a.attname as name
        from models as m
        inner join pg_attribute as a on a.attrelid = to_regclass(m.relation)
        where
            m.columns <> '{}' and a.attnum > 0 and not a.attisdropped and a.attname <> all(m.columns)
            and not exists (select 1 from views_on(a.attrelid, a.attnum))
    loop
        execute format('alter table %s drop column %I', lost.relation, lost.name);
    end loop;
end
$$;
comment on function drop_lost_columns is 'Drop the columns that no model makes and no view shows any more';

create or replace function view_hash(sql text, docs text, parents text []) returns text
language sql stable
set search_path from current
as $$
    -- With the columns of what it reads: a star in the text means other columns when those change.
    select md5(concat_ws(';', without_database(sql), docs, (
        select string_agg(concat_ws(' ', a.attrelid::regclass, a.attname, a.atttypid), ',' order by a.attrelid::regclass::text, a.attnum)
        from pg_attribute as a
        where a.attrelid in (select to_regclass(without_database(p)) from unnest(parents) as p) and a.attnum > 0 and not a.attisdropped
    )))
$$;

create or replace function view_is_current(view text, hash text) returns boolean
language sql stable
set search_path from current
as $$
    select exists (
        select 1 from documented as d
        where
            d.relation = without_database(view) and d.definition_hash = hash
            and d.body_hash = md5(pg_get_viewdef(to_regclass(without_database(view))))
    )
$$;
comment on function view_is_current is 'Whether a view stands as it was made from a definition with this hash';

create or replace function drop_view(view text) returns void
language plpgsql
set search_path from current
as $$
declare
    dependent text;
begin
    -- Our own views over it are made anew later in the run; a user's view is in the way, and PostgreSQL names it.
    for dependent in
        select distinct d.relation
        from documented as d
        inner join pg_rewrite as r on to_regclass(d.relation) = r.ev_class
        inner join pg_depend as p on r.oid = p.objid and p.classid = 'pg_rewrite'::regclass
        where p.refobjid = to_regclass(view) and r.ev_class <> p.refobjid
    loop
        perform drop_view(dependent);
    end loop;
    insert into documented (relation, grants) values (without_database(view), grants_on(view))
    on conflict (relation) do update set definition_hash = null, grants = excluded.grants;
    execute format('drop view %s', view);
end
$$;
comment on function drop_view is 'Drop a view and those of ours over it; what others were granted on them is remembered';

create or replace function note_view(view text, hash text) returns void
language plpgsql
set search_path from current
as $$
declare
    remembered text;
begin
    select grants into remembered from documented where relation = without_database(view);
    if remembered is not null then
        execute remembered;
    end if;
    insert into documented (relation, definition_hash, body_hash)
    values (without_database(view), hash, md5(pg_get_viewdef(to_regclass(without_database(view)))))
    on conflict (relation) do update
        set definition_hash = excluded.definition_hash, body_hash = excluded.body_hash, grants = null;
end
$$;
comment on function note_view is 'Remember from which definition a view was made, and give again what others were granted on it';

create or replace function grants_on(relation text) returns text
language sql stable
set search_path from current
as $$
    select string_agg(
        format(
            'grant %s on %s to %s%s', g.privilege_type, without_database(relation),
            case when g.grantee = 0 then 'public' else g.grantee::regrole::text end,
            case when g.is_grantable then ' with grant option' end
        ), '; '
    )
    from pg_class as c
    cross join lateral aclexplode(c.relacl) as g
    where c.oid = to_regclass(without_database(relation)) and g.grantee <> c.relowner
$$;
comment on function grants_on is 'Statements that give what others were granted on a relation: for one that is made anew';
