select
    counterparty_id,
    legal_name,
    upper(country) as country,
    contact_email
from {{ source('raw', 'counterparties') }}
