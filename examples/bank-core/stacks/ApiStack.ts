import { Api, type StackContext, use } from "sst/constructs";
import { DataStack } from "./DataStack";
import { EventsStack } from "./EventsStack";

export function ApiStack({ stack }: StackContext) {
  const { DATABASE_URL, LEDGER_CURRENCY, statements } = use(DataStack);
  const { bus } = use(EventsStack);
  const api = new Api(stack, "api", {
    defaults: { function: { bind: [DATABASE_URL, LEDGER_CURRENCY, bus] } },
    routes: {
      "GET /health": "src/health.handler",
      "POST /payments": "src/authorise.handler",
      "GET /payments/{id}": { function: { handler: "src/get.handler", bind: [statements] } },
    },
  });
  stack.addOutputs({ ApiUrl: api.url });
}
