import * as pulumi from '@pulumi/pulumi';

export interface Made {
  type: string;
  name: string;
  inputs: Record<string, any>;
}

/** Runs the whole program against Pulumi's own mocks: the resources that it asks for, with their inputs, and what it exports. */
export async function program(stage = 'dev', repositories = ['bank-core', 'bank-payments']): Promise<{ made: Made[]; exported: Record<string, any> }> {
  const made: Made[] = [];
  await pulumi.runtime.setMocks({
    newResource: ({ type, name, inputs }) => {
      made.push({ type, name, inputs });
      return { id: `${name}-id`, state: { ...inputs, arn: `arn:aws:${type.split(/[:/]/)[1]}:::${name}` } };
    },
    call: ({ inputs }) => inputs,
  }, 'bank-platform', stage, false);
  pulumi.runtime.setAllConfig({ 'bank-platform:stage': stage, 'bank-platform:repositories': JSON.stringify(repositories) });
  const module = await import('../index');
  const exported = await new Promise<Record<string, any>>((resolve) => {
    pulumi.output({ ...module }).apply(resolve);
  });
  await pulumi.runtime.disconnect();
  return { made, exported };
}
