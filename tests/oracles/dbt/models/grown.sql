{{ config(materialized='incremental') }}
select id, cents from {{ ref('mart') }}
{% if is_incremental() %}where id not in (select id from {{ this }}){% endif %}
