/** Length of an IBAN by country, from the SWIFT IBAN registry: the countries that this service pays to. */
const LENGTH_BY_COUNTRY: Readonly<Record<string, number>> = {
  AT: 20, BE: 16, CH: 21, DE: 22, DK: 18, ES: 24, FI: 18, FR: 27, GB: 22, IE: 22,
  IT: 27, LI: 21, LU: 20, NL: 18, NO: 15, PL: 28, PT: 25, SE: 24,
};

export type IbanCheck = { ok: true; iban: string } | { ok: false; reason: string };

/** Checks an IBAN by ISO 13616 (shape, the country's length) and ISO 7064 MOD 97-10 (check digits). */
export function checkIban(input: string): IbanCheck {
  const iban = input.replaceAll(' ', '').toUpperCase();
  if (!/^[A-Z]{2}[0-9]{2}[A-Z0-9]+$/.test(iban)) return { ok: false, reason: 'not in the shape of an IBAN' };
  const length = LENGTH_BY_COUNTRY[iban.slice(0, 2)];
  if (length === undefined) return { ok: false, reason: `country \`${iban.slice(0, 2)}\` is not served` };
  if (iban.length !== length) return { ok: false, reason: `must have ${length} characters, has ${iban.length}` };
  return remainder97(iban) === 1 ? { ok: true, iban } : { ok: false, reason: 'check digits do not match' };
}

/** MOD 97-10 over the rearranged IBAN, digit by digit so that no number grows beyond what is exact. */
function remainder97(iban: string): number {
  let remainder = 0;
  for (const character of iban.slice(4) + iban.slice(0, 4)) {
    for (const digit of parseInt(character, 36).toString()) remainder = (remainder * 10 + Number(digit)) % 97;
  }
  return remainder;
}

/** An account number as people and logs may see it: country and the last four characters. */
export function maskIban(iban: string): string {
  return `${iban.slice(0, 2)}${'*'.repeat(Math.max(0, iban.length - 6))}${iban.slice(-4)}`;
}
