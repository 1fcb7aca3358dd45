{# Fails on rows in which a number is NaN or infinite: a division or an input that slipped through. #}
{% test all_finite(model) %}
{%- set numbers = [] -%}
{%- if execute -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.name == model.identifier -%}
        {%- for column in node.columns.values() if column.data_type == 'double precision' -%}
            {%- do numbers.append(column.name) -%}
        {%- endfor -%}
    {%- endfor -%}
{%- endif -%}
select *
from {{ model }}
where
    false
    {%- for number in numbers %}
    or {{ number }} in ('NaN', 'Infinity', '-Infinity')
    {%- endfor %}
{% endtest %}
