select id, cents, delivered_at from {{ source('core', 'deliveries') }}
