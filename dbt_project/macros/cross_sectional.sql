{# (average rank - 1) / (n - 1) among the members of one time that know the value; null under two of them. #}
{% macro cross_sectional_rank(value) -%}
    case when is_member and {{ value }} is not null then
            (
                rank() over (partition by time, is_member and {{ value }} is not null order by {{ value }}) - 1
                + (count(*) over (partition by time, is_member and {{ value }} is not null, {{ value }}) - 1) / 2.0::float8
            ) / nullif(count({{ value }}) filter (where is_member) over at_time - 1, 0)
        end
{%- endmacro %}

{# Checksum of the seed that lists the universe: another universe is another definition of what is made from it. #}
{% macro universe_checksum() -%}
    {%- if execute -%}
        {%- for node in graph.nodes.values() if node.resource_type == 'seed' and node.name == 'universe' -%}
            {{ node.checksum.checksum }}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
