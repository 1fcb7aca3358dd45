{# A view that is replaced in place, so that grants on it and users' views over it stay. A change of columns that
   PostgreSQL cannot make in place drops and recreates the view without cascade: a user's view over it stops that, by name. #}
{% materialization kept_view, adapter='postgres' %}
    {%- set existing = load_cached_relation(this) -%}
    {%- set target = this.incorporate(type='view') -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- set replaceable = existing is none or view_is_replaceable(target, sql) -%}
    {% call statement('main') -%}
        {%- if not replaceable %}
            drop view {{ target }};
        {%- endif %}
        create or replace view {{ target }} as (
            {{ sql }}
        );
    {%- endcall %}

    {% do persist_docs(target, model) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}

{# Whether the view's present columns are the first ones of the new ones, by name and type. #}
{% macro view_is_replaceable(target, sql) %}
    {%- set present = get_column_schema_from_query('select * from ' ~ target) -%}
    {%- set wanted = get_column_schema_from_query(sql) -%}
    {%- if present | length > wanted | length -%}
        {{ return(false) }}
    {%- endif -%}
    {%- for column in present -%}
        {%- if column.name != wanted[loop.index0].name or column.data_type != wanted[loop.index0].data_type -%}
            {{ return(false) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(true) }}
{% endmacro %}
