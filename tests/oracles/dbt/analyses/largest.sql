select max(cents) from {{ ref('mart') }}
