{# The features, in the order of the registry: by group, model and column. A feature is a column of a feature model whose
   yml gives it a unit. Empty while dbt parses, when the graph is not known yet. #}
{% macro registered_features(only_group=none) %}
    {%- set features = [] -%}
    {%- if execute -%}
        {%- for group in var('feature_groups') if only_group is none or group == only_group -%}
            {%- for node in graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') | sort(attribute='name')
                if node.name.startswith('feat_' ~ group ~ '__') -%}
                {%- for column in node.columns.values() if 'unit' in column.config.meta -%}
                    {%- do features.append({
                        'name': column.name, 'group': group, 'model': node.name, 'relation': node.relation_name,
                        'description': column.description, 'meta': column.config.meta,
                    }) -%}
                {%- endfor -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(features) }}
{% endmacro %}

{# The bars, each with the features of its groups: left joins by key, so that planning stays quick over many chunks. #}
{% macro features_by_bar(only_group=none) %}
    {%- set features = registered_features(only_group) -%}
    select
        bars.symbol,
        bars.time,
        bars.available_at
        {%- for feature in features %},
        {{ feature.model }}.{{ feature.name }}
        {%- endfor %}
    from {{ ref('bars_5m') }} as bars
    {%- for model, group in features | groupby('model') %}
    left join {{ group[0].relation }} as {{ model }}
        on bars.symbol = {{ model }}.symbol and bars.time = {{ model }}.time
    {%- endfor %}
{% endmacro %}
