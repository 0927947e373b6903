import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    testTimeout: 30_000,
    coverage: {
      // The other handlers read SST's environment as they are loaded: the integration tests call them in dev.
      include: ["src/ledger.ts", "src/reconcile.ts"],
      reporter: ["text-summary", "json-summary"],
      reportsDirectory: "build/commit/reports",
      clean: false,
    },
  },
});
