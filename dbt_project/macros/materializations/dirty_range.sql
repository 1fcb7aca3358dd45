{# A table of which a run recomputes only what has changed: from each symbol's first changed bar to the end. The engine
   (schema build) knows the ranges and does the work, so that `perpmart live` does the very same; here the table is made
   to agree with its contract, and the definition that dbt compiled is handed over. #}
{% materialization dirty_range, adapter='postgres' %}
    {{ return(keep_dirty_range_table()) }}
{% endmaterialization %}

{% macro keep_dirty_range_table() %}
    {%- set target = this.incorporate(type='table') -%}
    {%- set existing = load_cached_relation(this) -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- if existing is not none and not existing.is_table -%}
        {{ exceptions.raise_compiler_error(this ~ ' exists and is no table: drop it or rename it first') }}
    {%- endif -%}
    {%- set contract = contract_arrays() -%}
    {%- set docs = documentation() -%}
    {%- set found = run_query(
        "select is_new, is_changed, docs_changed from examine_model("
        ~ literal(model.name) ~ ", " ~ literal(target.render()) ~ ", " ~ literal(sql) ~ ", " ~ contract ~ ", " ~ literal(docs) ~ ")"
    ).rows[0] -%}
    {%- if existing is none -%}
        {% do run_query('create table ' ~ target ~ ' (' ~ contract_columns() ~ ', primary key (symbol, time))') %}
    {%- endif -%}
    {% do run_query("select make_hypertable(" ~ literal(target.include(database=false).render()) ~ ", 'time', interval '" ~ var('chunk_width') ~ "')") %}
    {%- set news = '' -%}
    {%- if found['is_changed'] or existing is none or should_full_refresh() -%}
        {%- if found['is_changed'] and not found['is_new'] -%}
            {%- set news = 'its definition has changed: it and all that is made from it are computed anew; ' -%}
            {% do log(model.name ~ ': ' ~ news, info=true) %}
        {%- endif -%}
        {% do get_assert_columns_equivalent(sql) %}
        {% do run_query("select define_model(" ~ literal(model.name) ~ ", " ~ literal(target.render()) ~ ", " ~ literal(sql) ~ ", " ~ contract ~ ")") %}
    {%- endif -%}
    {# For a few new bars the engine takes another way to the same values (one_bar.sql). #}
    {%- set keeping = in_way('keeping') -%}
    {%- set one_bar_sql = in_way('one_bar') if keeping -%}
    {% do run_query(
        "select note_ways(" ~ literal(model.name) ~ ", " ~ (literal(keeping) if keeping else 'null') ~ ", "
        ~ (literal(one_bar_sql) if keeping else 'null') ~ ")"
    ) %}
    {%- if found['docs_changed'] or existing is none -%}
        {% do persist_docs(target, model) %}
        {% do run_query("select note_docs(" ~ literal(target.render()) ~ ", " ~ literal(docs) ~ ")") %}
    {%- endif -%}

    {% do run_query("select set_config('perpmart.forget_history', '" ~ var('forget_history') | lower ~ "', true)") %}
    {% call statement('main', fetch_result=True) -%}
        select ranges, written from run_model({{ literal(model.name) }})
    {%- endcall %}
    {%- set outcome = load_result('main')['data'][0] -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {% do store_raw_result('main', message=news ~ outcome[1] ~ ' rows in ' ~ outcome[0] ~ ' ranges', code='SELECT', rows_affected=outcome[1]) %}
    {{ return({'relations': [target]}) }}
{% endmacro %}

{% macro contract_columns() -%}
    {%- for name, column in model.columns.items() -%}
        {{ adapter.quote(name) }} {{ column.data_type }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{# Names and types of the contract's columns, as two arrays. #}
{% macro contract_arrays() -%}
    array['{{ model.columns.keys() | join("', '") }}'], array['{{ model.columns.values() | map(attribute="data_type") | join("', '") }}']
{%- endmacro %}

{# What is said about a model and its columns, as one text to compare. #}
{% macro documentation() -%}
    {{ model.description }}
    {%- for name, column in model.columns.items() %}; {{ name }}: {{ column.description }}{% endfor -%}
{%- endmacro %}

{% macro literal(text) -%}
    {{ dbt.string_literal(dbt.escape_single_quotes(text)) }}
{%- endmacro %}
