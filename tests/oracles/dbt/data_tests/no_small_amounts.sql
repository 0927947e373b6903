{{ config(severity='warn') }}
select id from {{ ref('mart') }} where cents < {{ var('least') }}
