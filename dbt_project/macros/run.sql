{# Before the models of a run: what each incremental model reads (from dbt's graph), and the changes in raw since the last run. #}
{% macro start_run() %}
    {%- if execute and flags.WHICH in ('build', 'run') -%}
        {%- if run_query("select to_regclass('models') is null as lacks").rows[0]['lacks'] -%}
            {{ exceptions.raise_compiler_error(
                'database ' ~ target.dbname ~ ' has no perpmart schema yet: run `perpmart init` first'
            ) }}
        {%- endif -%}
        {%- set described = [] -%}
        {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.config.materialized in ['dirty_range', 'rollup'] -%}
            {%- set reads = incremental_inputs(node) -%}
            {%- do described.append({
                'model': node.name,
                'relation': node.relation_name,
                'reach': node.config.get('reach', 'symbol'),
                'benchmark': benchmark_symbol() | trim,
                'grain': node.config.get('grain', '5 minutes'),
                'streams': reads['streams'] | unique | sort | list,
                'parents': reads['parents'] | unique | sort | list,
                'depth': model_depth(node),
            }) -%}
        {%- endfor -%}
        select register_models({{ literal(tojson(described)) }}::jsonb);
        select take_changes();
    {%- endif -%}
{% endmacro %}

{# The raw tables and incremental models that a node reads, itself or through views. #}
{% macro incremental_inputs(node) %}
    {%- set streams = [] -%}
    {%- set parents = [] -%}
    {%- for id in node.depends_on.nodes -%}
        {%- if id.startswith('source.') -%}
            {%- do streams.append(graph.sources[id].name) -%}
        {%- elif id.startswith('seed.') -%}
            {%- do streams.append(graph.nodes[id].name) -%}
        {%- elif graph.nodes[id].config.materialized in ['dirty_range', 'rollup'] -%}
            {%- do parents.append(graph.nodes[id].name) -%}
        {%- else -%}
            {%- set through = incremental_inputs(graph.nodes[id]) -%}
            {%- do streams.extend(through['streams']) -%}
            {%- do parents.extend(through['parents']) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return({'streams': streams, 'parents': parents}) }}
{% endmacro %}

{# Longest way from the raw tables: the order in which the models can run one after the other. #}
{% macro model_depth(node) %}
    {%- set depths = [0] -%}
    {%- for id in node.depends_on.nodes if id.startswith('model.') -%}
        {%- do depths.append(model_depth(graph.nodes[id]) + 1) -%}
    {%- endfor -%}
    {{ return(depths | max) }}
{% endmacro %}

{# After the models of a run: show the new rows to the readers of the newest vector, where every model is done. #}
{% macro finish_run(results) %}
    {%- if execute and flags.WHICH in ('build', 'run') -%}
        {%- if results | selectattr('status', 'in', ['error', 'skipped', 'fail']) | list | length == 0 %}
        select drop_lost_columns();
        {%- endif %}
        select publish();
    {%- endif -%}
{% endmacro %}
