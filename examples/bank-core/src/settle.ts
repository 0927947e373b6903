import { Config } from "sst/node/config";

export const handler = async () => {
  if (!Config.DATABASE_URL) {
    throw new Error("DATABASE_URL is not set");
  }
  return { batchItemFailures: [] };
};
