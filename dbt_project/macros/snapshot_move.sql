{# Relative move over n rows of a price that is itself a quotient: less than 1e-12 is the division's rounding and no move. #}
{% macro snapshot_move(price, n) -%}
    case
            when abs({{ price }} / nullif({{ lag(price, n) }}, 0) - 1) < 1e-12 then 0
            else {{ price }} / nullif({{ lag(price, n) }}, 0) - 1
        end
{%- endmacro %}
