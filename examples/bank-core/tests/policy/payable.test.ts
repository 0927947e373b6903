import { expect, test } from "vitest";
import { isPayable } from "../../src/ledger";

test.each([0, -1])("POL-001 nobody is paid %s", (amount) => {
  expect(isPayable(amount)).toBe(false);
});
