{# Fails where a bar does not follow the one before it in its segment: every window counts on that. #}
{% test gapless_segments(model) %}
select *
from (
    select
        symbol, segment_start, time,
        lag(time) over (partition by symbol, segment_start order by time) as previous_time
    from {{ model }}
) as bars
where time <> coalesce(previous_time + interval '5 minutes', segment_start)
{% endtest %}
