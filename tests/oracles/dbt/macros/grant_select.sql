{% macro grant_select() %}{% do log("nothing to grant") %}{% endmacro %}
