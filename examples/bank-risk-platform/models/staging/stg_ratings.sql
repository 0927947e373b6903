-- The last rating of a counterparty counts; who has none is unrated.
select
    counterparty_id,
    rating
from {{ source('raw', 'ratings') }}
qualify row_number() over (partition by counterparty_id order by rated_on desc, agency) = 1
