import { Cron, type StackContext, use } from "sst/constructs";
import { DataStack } from "./DataStack";

export function JobsStack({ stack }: StackContext) {
  const { DATABASE_URL } = use(DataStack);
  new Cron(stack, "reconcile", {
    schedule: "rate(1 day)",
    job: { function: { handler: "src/reconcile.handler", bind: [DATABASE_URL] } },
  });
}
