-- Every feature with what there is to know about it, from the yml beside its SQL; one row per feature.
select
    registered.ordinal::integer as ordinal,
    feature::text as feature,
    feature_group::text as feature_group,
    unit::text as unit,
    warmup::text as warmup,
    comparable::boolean as comparable,
    description::text as description,
    formula::text as formula,
    inputs::text as inputs,
    null_meaning::text as null_meaning,
    registered.relation::text as relation,
    coalesce(meanings.meaning, '') as definition
from (
    values
    {%- for feature in registered_features() %}
    (
        {{ loop.index }}, {{ literal(feature.name) }}, {{ literal(feature.group) }}, {{ literal(feature.meta.unit) }},
        {{ literal(feature.meta.warmup | string) }}, {{ feature.meta.comparable }}, {{ literal(feature.description) }},
        {{ literal(feature.meta.formula) }}, {{ literal(feature.meta.inputs) }}, {{ literal(feature.meta.null_meaning) }},
        {{ literal(feature.model) }}
    ){{ ',' if not loop.last }}
    {%- else %}
    (0, '', '', '', '', false, '', '', '', '', '')
    {%- endfor %}
) as registered (
    ordinal, feature, feature_group, unit, warmup, comparable, description, formula, inputs, null_meaning, relation
)
left join meanings on registered.relation = meanings.model
where ordinal > 0
