{# A table of which a run recomputes only what has changed: from each symbol's first changed bar to the end. The engine
   (schema build) knows the ranges and does the work, so that `perpmart live` does the very same; here the table is made
   to agree with its contract, and the definition that dbt compiled is handed over. #}
{% materialization dirty_range, adapter='postgres' %}
    {%- set target = this.incorporate(type='table') -%}
    {%- set existing = load_cached_relation(this) -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- if existing is not none and not existing.is_table -%}
        {{ exceptions.raise_compiler_error(this ~ ' exists and is no table: drop it or rename it first') }}
    {%- endif -%}
    {%- if existing is none -%}
        {% do run_query('create table ' ~ target ~ ' (' ~ contract_columns() ~ ', primary key (symbol, time))') %}
    {%- endif -%}

    {%- set definition = run_query("select definition_hash(" ~ literal(sql) ~ "), m.definition_hash from models as m where m.model = " ~ literal(model.name)).rows[0] -%}
    {%- set is_changed = definition[0] != definition[1] -%}
    {%- if is_changed or existing is none or should_full_refresh() -%}
        {%- if is_changed and definition[1] is not none -%}
            {% do log(model.name ~ ': its definition has changed; it and all that is made from it are computed anew', info=true) %}
        {%- endif -%}
        {% do make_columns_agree(target) %}
        {% do get_assert_columns_equivalent(sql) %}
        {% do persist_docs(target, model) %}
        {% do run_query("select define_model(" ~ literal(model.name) ~ ", " ~ literal(target.render()) ~ ", " ~ literal(sql) ~ ", array['" ~ model.columns.keys() | join("', '") ~ "'])") %}
    {%- endif -%}

    {% call statement('main', fetch_result=True) -%}
        select ranges, written from run_model({{ literal(model.name) }})
    {%- endcall %}
    {%- set outcome = load_result('main')['data'][0] -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {% do log(model.name ~ ': ' ~ outcome[1] ~ ' rows in ' ~ outcome[0] ~ ' ranges', info=false) %}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}

{# Add columns that the contract has gained and drop those that it has lost; a user's view on a lost one stops that, by name. #}
{% macro make_columns_agree(target) %}
    {%- set present = {} -%}
    {%- for column in adapter.get_columns_in_relation(target) -%}
        {%- do present.update({column.name: column.data_type}) -%}
    {%- endfor -%}
    {%- for name, column in model.columns.items() if name not in present -%}
        {% do run_query('alter table ' ~ target ~ ' add column ' ~ adapter.quote(name) ~ ' ' ~ column.data_type) %}
    {%- endfor -%}
    {%- for name in present if name not in model.columns -%}
        {% do run_query('alter table ' ~ target ~ ' drop column ' ~ adapter.quote(name)) %}
    {%- endfor -%}
{% endmacro %}

{% macro contract_columns() -%}
    {%- for name, column in model.columns.items() -%}
        {{ adapter.quote(name) }} {{ column.data_type }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{% macro literal(text) -%}
    {{ dbt.string_literal(dbt.escape_single_quotes(text)) }}
{%- endmacro %}
