-- A rating without a risk weight would need no capital.
select counterparty_id
from {{ ref('counterparty_exposure') }}
where counterparty_id not in (select counterparty_id from {{ ref('capital_requirement') }})
