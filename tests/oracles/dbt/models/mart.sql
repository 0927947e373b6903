{{ config(materialized='table') }}
select id, cast(cents as integer) as cents, error_if_zero.x
from {{ ref('passed_on') }}, (select {% if var('divisor') == 0 %}no_such_column{% else %}1{% endif %} as x) as error_if_zero
