import { expect, test } from "vitest";
import { difference, isPayable } from "../../src/ledger";
import { handler as reconcile } from "../../src/reconcile";

test.each([1, 1250, Number.MAX_SAFE_INTEGER])("%s can be paid", (amount) => {
  expect(isPayable(amount)).toBe(true);
});

test.each([0.5, Number.NaN, "1", undefined])("%s can't be paid", (amount) => {
  expect(isPayable(amount)).toBe(false);
});

test("debits and credits cancel out", () => {
  const lines = [{ account: "a", minor_units: -1250 }, { account: "b", minor_units: 1250 }];
  expect(difference(lines)).toBe(0);
});

test("a day without its counterpart doesn't balance", async () => {
  const lines = [{ account: "a", minor_units: -1250 }];
  expect(await reconcile({ lines })).toEqual({ balanced: false, lines: 1 });
  expect(await reconcile({})).toEqual({ balanced: true, lines: 0 });
});
