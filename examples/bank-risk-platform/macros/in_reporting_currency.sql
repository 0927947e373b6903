{# An amount in cents of the reporting currency, rounded half away from zero as the regulator's templates are. #}
{% macro in_reporting_currency(amount, rate) -%}
    cast(round({{ amount }} * {{ rate }}) as bigint)
{%- endmacro %}
