{# The values of one time, of the members that know it, in ascending order. #}
{% macro sorted_section(value) -%}
    array_agg({{ value }} order by {{ value }}) filter (where is_member and {{ value }} is not null)
{%- endmacro %}

{# (average rank - 1) / (n - 1) in a sorted section: a binary search finds the last of the equal ones, which are counted
   where there is more than one. Null under two members. #}
{% macro cross_sectional_rank(value, section) -%}
    case when is_member then
            (
                2 * width_bucket({{ value }}, {{ section }}) - 1
                - case
                    when {{ section }}[width_bucket({{ value }}, {{ section }}) - 1] = {{ value }}
                        then (select count(*) from unnest({{ section }}) as v where v = {{ value }})
                    else 1
                end
            ) / 2.0::float8 / nullif(cardinality({{ section }}) - 1, 0)
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
