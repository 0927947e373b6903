import { CloudFormationClient, paginateListStackResources } from "@aws-sdk/client-cloudformation";
import { InvokeCommand, LambdaClient } from "@aws-sdk/client-lambda";
import { expect, test } from "vitest";

const cloudFormation = new CloudFormationClient();
const lambda = new LambdaClient();

/** Invokes the function of dev whose logical id begins so. */
async function invoke(stack: string, logicalId: string, event: object) {
  const StackName = `dev-bank-core-${stack}`;
  for await (const page of paginateListStackResources({ client: cloudFormation }, { StackName })) {
    const found = page.StackResourceSummaries?.find(
      (it) => it.ResourceType === "AWS::Lambda::Function" && it.LogicalResourceId?.startsWith(logicalId));
    if (found) {
      const FunctionName = found.PhysicalResourceId;
      const Payload = Buffer.from(JSON.stringify(event));
      const answer = await lambda.send(new InvokeCommand({ FunctionName, Payload }));
      return JSON.parse(answer.Payload!.transformToString());
    }
  }
  throw new Error(`${StackName} has no function ${logicalId}`);
}

const integration = test.skipIf(process.env.RUN_INTEGRATION !== "1");

integration("dev runs with its own secret", async () => {
  const answer = await invoke("ApiStack", "apiLambdaGEThealth", {});
  expect(JSON.parse(answer.body)).toMatchObject({
    status: "ok", stage: "dev", database: "ledger.dev.bank.example" });
});

integration("a payment is accepted on dev's bus", async () => {
  const answer = await invoke("ApiStack", "apiLambdaPOSTpayments", { body: '{"minor_units": 1250}' });
  expect(answer.statusCode).toBe(202);
  expect(JSON.parse(answer.body)).toMatchObject({ currency: "AUD", bus: "dev-bank-core-bus" });
});

integration("a balanced day is balanced", async () => {
  const lines = [{ account: "a", minor_units: -1 }, { account: "b", minor_units: 1 }];
  expect(await invoke("JobsStack", "reconcileJob", { lines })).toEqual({ balanced: true, lines: 2 });
});
