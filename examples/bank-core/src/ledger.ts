export type Line = { account: string; minor_units: number };

/** An amount in minor units that can be paid: a whole number above zero. */
export function isPayable(minorUnits: unknown): minorUnits is number {
  return Number.isSafeInteger(minorUnits) && (minorUnits as number) > 0;
}

/** The accounts' differences; none where debits and credits cancel out. */
export function difference(lines: Line[]): number {
  return lines.reduce((sum, line) => sum + line.minor_units, 0);
}
