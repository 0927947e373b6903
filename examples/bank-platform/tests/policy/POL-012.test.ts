// POL-012: pipelines have no long-lived keys.
import { expect, test } from 'vitest';
import { program } from '../program';

test('POL-012: there are roles for GitHub’s tokens, and neither users nor access keys', async () => {
  const { made } = await program();
  const iam = made.map((it) => it.type).filter((type) => type.startsWith('aws:iam/'));
  expect(new Set(iam)).toEqual(new Set([
    'aws:iam/openIdConnectProvider:OpenIdConnectProvider', 'aws:iam/role:Role', 'aws:iam/rolePolicy:RolePolicy',
  ]));
});
