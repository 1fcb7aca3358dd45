-- The mart joins its tables by key, each row to one row at most: the order of the joins hardly matters, but looking for
-- the best one took longer than many a query. Six is enough for the models' own joins. A value that somebody else has
-- chosen stays. New sessions see it.
do $$
begin
    if exists (select 1 from pg_settings where name = 'join_collapse_limit' and source = 'default') then
        execute format('alter database %I set join_collapse_limit = 6', current_database());
    end if;
exception
    when insufficient_privilege then
        raise warning 'database % is another role''s: let it say `alter database % set join_collapse_limit = 6`, '
            'or queries on the mart are planned four times as long', current_database(), current_database();
end
$$;
