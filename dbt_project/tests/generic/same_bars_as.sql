{# Fails on bars that this table lacks, and on its rows that are no bar. #}
{% test same_bars_as(model, bars) %}
select coalesce(m.symbol, b.symbol) as symbol, coalesce(m.time, b.time) as time
from {{ model }} as m
full join {{ bars }} as b on m.symbol = b.symbol and m.time = b.time
where m.symbol is null or b.symbol is null
{% endtest %}
