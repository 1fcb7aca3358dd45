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

{# The bars, each with the features of its groups: left joins by key, so that planning stays quick over many chunks. The
   calendar needs nothing but the bar itself, so it stands for the bars: joined to them, it would be read as a whole
   for a single row. #}
{% macro features_by_bar(only_group=none) %}
    {%- set features = registered_features(only_group) -%}
    select
        feat_time__calendar.symbol,
        feat_time__calendar.time,
        feat_time__calendar.available_at
        {%- for feature in features %},
        {{ feature.model }}.{{ feature.name }}
        {%- endfor %}
    from {{ ref('feat_time__calendar') }} as feat_time__calendar
    {%- for model, group in features | rejectattr('model', 'equalto', 'feat_time__calendar') | groupby('model') %}
    left join {{ group[0].relation }} as {{ model }}
        on feat_time__calendar.symbol = {{ model }}.symbol and feat_time__calendar.time = {{ model }}.time
    {%- endfor %}
{% endmacro %}
