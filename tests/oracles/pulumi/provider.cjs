// A provider of `aws:` types that keeps what it is told and calls nobody: what the engine writes down is the engine's own.
const { main } = require('@pulumi/pulumi/provider');

const REPLACED_BY = ['bucket', 'name'];

class Provider {
  constructor() {
    this.version = '7.48.0';
  }
  async check(urn, olds, news) {
    return { inputs: news };
  }
  async diff(id, urn, olds, news) {
    const changed = Object.keys({ ...olds, ...news }).filter(
      (it) => it !== 'id' && it !== '__defaults' && JSON.stringify(olds[it]) !== JSON.stringify(news[it]),
    );
    return { changes: changed.length > 0, replaces: changed.filter((it) => REPLACED_BY.includes(it)), deleteBeforeReplace: false };
  }
  async create(urn, inputs) {
    if (inputs.fails) throw new Error('AccessDenied: it is not allowed');
    if (inputs.hangs) await new Promise((resolve) => setTimeout(resolve, 600_000));
    return { id: `${urn.split('::').pop()}-1`, outs: inputs };
  }
  async update(id, urn, olds, news) {
    return { outs: news };
  }
  async read(id, urn, props) {
    const meets = process.env.ORACLE_MEETS;
    if (meets === 'denial') throw new Error('AccessDenied: it is not allowed');
    if (meets === 'drift' && urn.includes('sqs/queue')) return {};
    if (meets === 'drift' && urn.includes('s3/bucket')) return { id, props: { ...props, changed: 'by hand' } };
    return { id, props };
  }
  async delete() {}
}

main(new Provider(), process.argv.slice(2));
