{# A view that is left alone while its definition stays, and else replaced in place, so that grants on it and users'
   views over it stay. A change of columns that PostgreSQL cannot make in place drops and recreates the view with its
   grants, but without cascade: a user's view over it stops that, by name. #}
{% materialization kept_view, adapter='postgres' %}
    {%- set existing = load_cached_relation(this) -%}
    {%- set target = this.incorporate(type='view') -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {% call statement('main', fetch_result=True) -%}
        select hash, view_is_current({{ literal(target.render()) }}, hash) as is_current
        from view_hash({{ literal(sql) }}, {{ literal(documentation()) }}, {{ parent_relations() }}) as hash
    {%- endcall %}
    {%- set found = load_result('main')['data'][0] -%}
    {%- if existing is none or not found[1] -%}
        {% do replace_view(target, existing) %}
        {% do persist_docs(target, model) %}
        {% do run_query("select note_view(" ~ literal(target.render()) ~ ", " ~ literal(found[0]) ~ ")") %}
    {%- endif -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}

{% macro replace_view(target, existing) %}
    {%- set grants = none -%}
    {%- if existing is not none and not view_is_replaceable(target, sql) -%}
        {%- set grants = run_query("select grants_on(" ~ literal(target.render()) ~ ")").rows[0][0] -%}
        {% do run_query('drop view ' ~ target) %}
    {%- endif -%}
    {% do run_query('create or replace view ' ~ target ~ ' as (\n' ~ sql ~ '\n)') %}
    {%- if grants -%}
        {% do run_query(grants) %}
    {%- endif -%}
{% endmacro %}

{# Relations that the view reads, as dbt knows them. #}
{% macro parent_relations() -%}
    array[
        {%- for id in model.depends_on.nodes -%}
            {%- set parent = graph.sources[id] if id.startswith('source.') else graph.nodes[id] -%}
            {{ literal(parent.relation_name) }}{{ ', ' if not loop.last }}
        {%- endfor -%}
    ]::text[]
{%- endmacro %}

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
