{# A view that is left alone while its definition stays, and else replaced in place, so that grants on it and users'
   views over it stay. A change of columns that PostgreSQL cannot make in place drops and recreates the view with its
   grants, but without cascade: a user's view over it stops that, by name. #}
{% materialization kept_view, adapter='postgres' %}
    {%- set target = this.incorporate(type='view') -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {% call statement('main', fetch_result=True) -%}
        select
            hash,
            view_is_current({{ literal(target.render()) }}, hash) as is_current,
            to_regclass(without_database({{ literal(target.render()) }})) is not null as stands
        from view_hash({{ literal(sql) }}, {{ literal(documentation() ~ tojson(feature_comments())) }}, {{ parent_relations() }}) as hash
    {%- endcall %}
    {%- set found = load_result('main')['data'][0] -%}
    {%- if not found[1] -%}
        {% do replace_view(target, found[2]) %}
        {% do persist_docs(target, model) %}
        {% do comment_on_features(target) %}
        {% do run_query("select note_view(" ~ literal(target.render()) ~ ", " ~ literal(found[0]) ~ ")") %}
    {%- endif -%}
    {# Views with features have a meaning of their own, like tables. #}
    {%- set with_features = model.name.startswith('feat_') -%}
    {%- set parents = incremental_inputs(model)['parents'] | unique | sort if with_features else [] -%}
    {% do run_query(
        "select note_view_source(" ~ literal(target.render()) ~ ", " ~ literal(sql) ~ ", "
        ~ (literal(model.name) if with_features else 'null') ~ ", array['" ~ parents | join("', '") ~ "'])"
    ) %}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}

{% macro replace_view(target, stands) %}
    {%- if stands and not view_is_replaceable(target, sql) -%}
        {% do run_query("select drop_view(" ~ literal(target.include(database=false).render()) ~ ")") %}
    {%- endif -%}
    {% do run_query('create or replace view ' ~ target ~ ' as (\n' ~ sql ~ '\n)') %}
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
