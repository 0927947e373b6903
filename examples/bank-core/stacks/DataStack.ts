import { Bucket, Config, type StackContext, Table } from "sst/constructs";

export function DataStack({ stack }: StackContext) {
  const DATABASE_URL = new Config.Secret(stack, "DATABASE_URL");
  const LEDGER_CURRENCY = new Config.Parameter(stack, "LEDGER_CURRENCY", { value: "AUD" });
  const statements = new Bucket(stack, "statements");
  const idempotency = new Table(stack, "idempotency", {
    fields: { pk: "string" },
    primaryIndex: { partitionKey: "pk" },
    timeToLiveAttribute: "ttl",
  });
  stack.addOutputs({ StatementsBucket: statements.bucketName });
  return { DATABASE_URL, LEDGER_CURRENCY, statements, idempotency };
}
