import type { SSTConfig } from "sst";
import { ApiStack } from "./stacks/ApiStack";
import { DataStack } from "./stacks/DataStack";
import { EventsStack } from "./stacks/EventsStack";
import { JobsStack } from "./stacks/JobsStack";

export default {
  config() {
    return { name: "bank-core", region: "ap-southeast-2" };
  },
  stacks(app) {
    app.setDefaultFunctionProps({ runtime: "nodejs20.x" });
    app.stack(DataStack).stack(EventsStack).stack(ApiStack).stack(JobsStack);
  },
} satisfies SSTConfig;
