// http, routes: the config of a VM and its versions.

import { VolantError } from '../../lib/errors.ts';
import type { ConfigEnvelope, ConfigPatch } from '../../schema/config-patch.ts';
import { nameIn } from '../exchange/exchange.ts';
import { Query } from '../exchange/query.ts';
import { json, type Reply } from '../exchange/reply.ts';
import { requested } from '../exchange/request-id.ts';
import type { Handlers } from '../handlers.ts';

export const configRoutes = {
  getVMConfig: ({ engine }, head) => envelope(engine.configs.get(nameIn(head))),
  updateVMConfig: async ({ engine }, head, body) => {
    const query = new Query(head.query);
    const isDryRun = query.flag('dry_run');
    query.throwProblems();
    const patch = body as ConfigPatch;
    const expected = versionsIn(head.headers['if-match'] ?? '');
    if (isDryRun) return json(200, engine.configs.planPatch(nameIn(head), patch, expected));
    return envelope(await engine.configs.patch(nameIn(head), patch, expected, requested(head)));
  },
  getVMConfigHistory: ({ engine }, head) => {
    const query = new Query(head.query);
    const limit = query.count('limit');
    query.throwProblems();
    return json(200, engine.configs.history(nameIn(head), limit));
  },
} satisfies Partial<Handlers>;

/** The version of the config is its entity tag (RFC 9110, 8.8.3). */
function envelope(config: ConfigEnvelope): Reply {
  return { ...json(200, config), headers: { ETag: `"${config.version}"` } };
}

/** An entity tag, weak or strong (RFC 9110, 8.8.3), or a bare number, which some clients send. */
const TAG = /^(?:(?<weak>W\/)?"(?<opaque>[\x21\x23-\x7e]*)"|(?<bare>\d+))$/;

/**
 * The config versions that a change may apply to; undefined without a condition, and for "*", which every config meets.
 * Weak tags and tags that are not versions match none (RFC 9110, 13.1.1).
 */
function versionsIn(ifMatch: string): readonly number[] | undefined {
  const text = ifMatch.trim();
  if (text === '' || text === '*') return undefined;
  const tags = text.split(/[ \t]*,[ \t]*/).filter((tag) => tag !== '');
  return tags.flatMap((tag) => {
    const groups = TAG.exec(tag)?.groups;
    if (groups === undefined) {
      const details = { 'If-Match': 'must be versions of the config as entity tags, such as "3"' };
      throw new VolantError('PARAMETER_INVALID', undefined, { details });
    }
    const { weak, opaque, bare } = groups;
    const version = bare ?? opaque ?? '';
    return weak === undefined && /^\d{1,15}$/.test(version) ? [Number(version)] : [];
  });
}
