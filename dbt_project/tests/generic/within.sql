{# Fails on values outside [low, high], beyond what rounding explains. Null is no failure: unknown is no number. #}
{% test within(model, column_name, low, high) %}
select *
from {{ model }}
where {{ column_name }} < {{ low }} - 1e-9 * greatest(1, abs({{ low }})) or {{ column_name }} > {{ high }} + 1e-9 * greatest(1, abs({{ high }}))
{% endtest %}
