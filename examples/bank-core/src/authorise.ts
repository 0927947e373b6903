import { Config } from "sst/node/config";
import { EventBus } from "sst/node/event-bus";
import { isPayable } from "./ledger";

export const handler = async (event: { body?: string }) => {
  const { minor_units } = JSON.parse(event.body ?? "{}");
  if (!isPayable(minor_units)) {
    return { statusCode: 400, body: JSON.stringify({ error: "minor_units" }) };
  }
  const answer = { minor_units, currency: Config.LEDGER_CURRENCY, bus: EventBus.bus.eventBusName };
  return { statusCode: 202, body: JSON.stringify(answer) };
};
