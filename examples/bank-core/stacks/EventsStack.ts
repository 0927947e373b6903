import { EventBus, Queue, type StackContext, use } from "sst/constructs";
import { DataStack } from "./DataStack";

export function EventsStack({ stack }: StackContext) {
  const { DATABASE_URL, idempotency } = use(DataStack);
  const bus = new EventBus(stack, "bus");
  const settlements = new Queue(stack, "settlements", {
    consumer: {
      function: { handler: "src/settle.handler", bind: [DATABASE_URL, idempotency] },
      cdk: { eventSource: { batchSize: 5 } },
    },
  });
  bus.addRules(stack, {
    authorised: {
      pattern: { source: ["bank.core"], detailType: ["payment.authorised"] },
      targets: { queue: settlements },
    },
  });
  return { bus };
}
