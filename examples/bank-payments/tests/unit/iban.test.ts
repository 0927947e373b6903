import { expect, test } from 'vitest';
import { checkIban, maskIban } from '../../src/iban.js';

test.each([
  'GB82WEST12345698765432', 'DE89370400440532013000', 'FR1420041010050500013M02606', 'NL91ABNA0417164300',
  'BE68539007547034', 'CH9300762011623852957', 'NO9386011117947',
])('`%s`, an example of the registry, is right', (iban) => {
  expect(checkIban(iban)).toEqual({ ok: true, iban });
});

test('spaces and small letters, as people write them, are taken', () => {
  expect(checkIban('gb82 west 1234 5698 7654 32')).toEqual({ ok: true, iban: 'GB82WEST12345698765432' });
});

test.each([
  ['GB82WEST12345698765423', 'check digits do not match'],
  ['GB83WEST12345698765432', 'check digits do not match'],
  ['GB82WEST1234569876543', 'must have 22 characters, has 21'],
  ['XX82WEST12345698765432', 'country `XX` is not served'],
  ['82GBWEST12345698765432', 'not in the shape of an IBAN'],
  ['', 'not in the shape of an IBAN'],
])('`%s` is refused: %s', (iban, reason) => {
  expect(checkIban(iban)).toEqual({ ok: false, reason });
});

test('a single changed digit is always seen', () => {
  const right = 'DE89370400440532013000';
  for (let at = 4; at < right.length; at++) {
    for (const digit of '0123456789') {
      const changed = right.slice(0, at) + digit + right.slice(at + 1);
      expect(checkIban(changed).ok).toBe(changed === right);
    }
  }
});

test('a masked account number keeps the country and four characters', () => {
  expect(maskIban('NL91ABNA0417164300')).toBe('NL************4300');
});
