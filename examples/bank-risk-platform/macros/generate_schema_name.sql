{# A schema is called what it is called, without dbt's prefix: DCM and the tests know it by that name. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
