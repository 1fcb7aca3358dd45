{# What a reader of a mart view is told about each column by `\d+`: all that the registry says of a feature. #}
{% macro feature_comments() %}
    {%- set comments = {} -%}
    {%- if execute and model.resource_type == 'model' and 'mart' in model.fqn -%}
        {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.name == 'bars_5m' -%}
            {%- for name in ['symbol', 'time', 'available_at'] -%}
                {%- do comments.update({name: node.columns[name].description}) -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- for feature in registered_features() -%}
            {%- set meta = feature.meta -%}
            {%- do comments.update({
                feature.name: feature.description ~ '. Unit: ' ~ meta.unit ~ '. Formula: ' ~ meta.formula
                ~ '. From: ' ~ meta.inputs ~ '. Warm-up: ' ~ meta.warmup ~ '. Null: ' ~ meta.null_meaning
                ~ '. ' ~ ('Comparable' if meta.comparable else 'Not comparable') ~ ' between symbols.'
            }) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(comments) }}
{% endmacro %}

{% macro comment_on_features(target) %}
    {%- set comments = feature_comments() -%}
    {%- set statements = [] -%}
    {%- for column in adapter.get_columns_in_relation(target) if column.name in comments -%}
        {%- do statements.append(
            'comment on column ' ~ target ~ '.' ~ adapter.quote(column.name) ~ ' is ' ~ literal(comments[column.name])
        ) -%}
    {%- endfor -%}
    {%- if statements -%}
        {% do run_query(statements | join('; ')) %}
    {%- endif -%}
{% endmacro %}
