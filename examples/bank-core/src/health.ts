import { Config } from "sst/node/config";

const RELEASE = 1;

/** Tells what only the stage can know: its name, and where its own secret leads. */
export const handler = async () => ({
  statusCode: 200,
  headers: { "content-type": "application/json" },
  body: JSON.stringify({
    status: "ok",
    release: RELEASE,
    stage: Config.STAGE,
    database: new URL(Config.DATABASE_URL).hostname,
  }),
});
