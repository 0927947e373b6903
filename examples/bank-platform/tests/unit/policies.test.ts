import { expect, test } from 'vitest';
import { onlyTls } from '../../src/artefact-store';
import { subjectOf, trusting, uploading } from '../../src/github-trust';

test('without TLS nothing of the bucket is reached', () => {
  const [statement] = JSON.parse(onlyTls('arn:b')).Statement;
  expect(statement).toMatchObject({ Effect: 'Deny', Resource: ['arn:b', 'arn:b/*'], Condition: { Bool: { 'aws:SecureTransport': 'false' } } });
});

test('a role trusts one repository in one environment', () => {
  const [statement] = JSON.parse(trusting('arn:p', subjectOf('example-bank', 'bank-core', 'dev'))).Statement;
  expect(statement.Condition).toEqual({
    StringEquals: {
      'token.actions.githubusercontent.com:aud': 'sts.amazonaws.com',
      'token.actions.githubusercontent.com:sub': 'repo:example-bank/bank-core:environment:dev',
    },
  });
});

test.each(['*', 'bank-*', '', 'Bank'])('`%s` is no repository', (name) => {
  expect(() => subjectOf('example-bank', name, 'dev')).toThrow('is no repository');
});

test('a repository uploads below its own prefix only', () => {
  const resources = JSON.parse(uploading('arn:b', 'arn:k', 'bank-core')).Statement.map((it: { Resource: string }) => it.Resource);
  expect(resources).toEqual(['arn:b/bank-core/*', 'arn:k']);
});
