{{ config(materialized='ephemeral') }}
select id, cents / {{ var('divisor') }} as cents from {{ ref('staged') }}
