{# Buckets straight from one raw table, from one SELECT on every server. TimescaleDB Community keeps them as a continuous
   aggregate, which is left alone while its definition stands and refreshed where raw has changed; elsewhere they are a
   table that the engine keeps as any other model's. The SELECT marks its range with `in_rollup_scope`. #}
{% materialization rollup, adapter='postgres' %}
    {%- if run_query('select tier()').rows[0][0] == 'timescale' -%}
        {{ return(keep_continuous_aggregate()) }}
    {%- else -%}
        {{ return(keep_dirty_range_table()) }}
    {%- endif -%}
{% endmaterialization %}

{% macro keep_continuous_aggregate() %}
    {%- set target = this.incorporate(type='view') -%}
    {%- set name = literal(model.name) -%}
    {%- set definition = literal(target.render()) ~ ", " ~ literal(sql) ~ ", " ~ contract_arrays() -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {# For the session, since the refresh is no part of this transaction. #}
    {% do run_query("select hold_model(" ~ name ~ ")") %}
    {%- set found = run_query("select * from examine_rollup(" ~ name ~ ", " ~ definition ~ ", " ~ literal(documentation()) ~ ")").rows[0] -%}
    {%- set news = '' -%}
    {%- if not found['is_current'] -%}
        {%- if found['stands'] -%}
            {%- set news = ('its definition has changed: ' if found['is_continuous'] else 'a table so far, now a continuous aggregate: ')
                ~ 'it and all that is made from it are computed anew; ' -%}
            {% do log(model.name ~ ': ' ~ news, info=true) %}
        {%- endif -%}
        {% do get_assert_columns_equivalent(sql) %}
        {% do run_query("select make_rollup(" ~ name ~ ", " ~ definition ~ ", " ~ var('forget_history') ~ ")") %}
    {%- else -%}
        {% do run_query("select note_source(" ~ name ~ ", " ~ literal(sql) ~ ", true)") %}
    {%- endif -%}
    {%- if found['is_current'] and should_full_refresh() -%}
        {% do run_query("insert into pending (model, symbol, from_time) values (" ~ name ~ ", '*', '-infinity')") %}
    {%- endif -%}
    {%- if found['docs_changed'] or not found['is_current'] -%}
        {% do persist_docs(target, model) %}
        {% do run_query("select note_docs(" ~ literal(target.render()) ~ ", " ~ literal(documentation()) ~ ")") %}
    {%- endif -%}

    {# As plain statements: the adapter believes its transaction goes on, and the next one begins where it ends. #}
    {% do run_query("commit") %}
    {% call statement('main', fetch_result=True) -%}
        call refresh_rollup({{ name }}, {{ should_full_refresh() }}, 0)
    {%- endcall %}
    {%- set ranges = load_result('main')['data'][0][0] -%}
    {% do run_query("begin") %}
    {% do run_query("select release_model(" ~ name ~ ")") %}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {% do store_raw_result('main', message=news ~ 'refreshed after changes in ' ~ ranges ~ ' ranges', code='REFRESH', rows_affected=0) %}
    {{ return({'relations': [target]}) }}
{% endmacro %}
