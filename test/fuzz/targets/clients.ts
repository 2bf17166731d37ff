// fuzz: what clients of the API say, and what servers say to our own client: bodies, queries, JSON-RPC, locations,
// events.

import { readServerSentEvents } from '../../../src/client/sse.ts';
import { LIMITS } from '../../../src/config/limits.ts';
import { parseJson } from '../../../src/http/exchange/body.ts';
import { decoded } from '../../../src/http/exchange/exchange.ts';
import { Query } from '../../../src/http/exchange/query.ts';
import { RpcError, readMessage } from '../../../src/http/mcp/json-rpc.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import { imageLocation, withoutSecrets } from '../../../src/lib/formats/image-location.ts';
import type { Problems } from '../../../src/lib/formats/member-path.ts';
import {
  isDevicePattern,
  isPciAddress,
  normalPciAddresses,
} from '../../../src/lib/formats/pci-address.ts';
import { hasDotSegment } from '../../../src/lib/net/dot-segments.ts';
import { formatIpv4, parseCidr, parseIpv4 } from '../../../src/lib/net/ipv4.ts';
import { isPublicAddress, isSameAddress } from '../../../src/lib/net/public-address.ts';
import { type ManifestInput, ManifestSchema } from '../../../src/schema/manifest.ts';
import { checkConfig } from '../../../src/schema/rules/config-rules.ts';
import { normaliseManifest } from '../../../src/schema/rules/manifest-rules.ts';
import { compileValidator } from '../../../src/schema/validate.ts';
import { CreateVmSchema } from '../../../src/schema/vm.ts';
import { type VmConfigInput, VmConfigSchema } from '../../../src/schema/vm-config.ts';
import { allowing, type FuzzTarget, hold, piecesOf } from '../target.ts';

const isVolantError =
  (...codes: string[]) =>
  (error: unknown) =>
    error instanceof VolantError && codes.includes(error.code);

const checkManifestShape = compileValidator(ManifestSchema);
const checkConfigShape = compileValidator(VmConfigSchema);
const checkCreateShape = compileValidator(CreateVmSchema);

function checkProblems(problems: Problems): void {
  hold(Object.keys(problems).length > 0, 'who is refused is told why');
  for (const [path, problem] of Object.entries(problems)) {
    hold(path !== '' && problem !== '', 'a problem has a path and a sentence');
  }
}

function checkManifest(value: unknown): void {
  const shape = checkManifestShape(value);
  if (shape !== null) {
    checkProblems(shape);
    return;
  }
  const result = normaliseManifest(value as ManifestInput, LIMITS);
  if ('problems' in result) {
    checkProblems(result.problems);
    return;
  }
  const { manifest } = result;
  hold(checkManifestShape(manifest) === null, 'a normal manifest has the shape of one');
  const again = normaliseManifest(JSON.parse(JSON.stringify(manifest)), LIMITS);
  hold('manifest' in again, 'a normal manifest has no problem');
  hold(
    JSON.stringify(again.manifest) === JSON.stringify(manifest),
    'a normal manifest stays as it is',
  );
}

function checkVmConfig(value: unknown): void {
  const shape = checkConfigShape(value);
  if (shape !== null) {
    checkProblems(shape);
    return;
  }
  for (const problem of Object.values(checkConfig(value as VmConfigInput))) {
    hold(problem !== '', 'a problem has a sentence');
  }
}

const bodies: FuzzTarget = {
  name: 'bodies',
  bytesMax: 8192,
  isJson: true,
  tokens: [
    '"workload":',
    '"disks":',
    '"network":',
    '"mode":"bridged"',
    '"cloud_init":',
    '"expose":',
    '"devices":',
    '"__proto__":',
    '\\u0000',
    '1e999',
  ],
  run(input) {
    const value = allowing(isVolantError('JSON_INVALID', 'BODY_INVALID'), () => parseJson(input));
    if (value === undefined) return;
    checkManifest(value);
    checkVmConfig(value);
    const problems = checkCreateShape(value);
    if (problems !== null) checkProblems(problems);
    // The same things where a request has them.
    const { config, manifest } = (value ?? {}) as {
      config?: { manifest?: unknown };
      manifest?: unknown;
    };
    if (config !== undefined) checkVmConfig(config);
    for (const inner of [config?.manifest, manifest]) if (inner !== undefined) checkManifest(inner);
  },
};

const queries: FuzzTarget = {
  name: 'queries',
  bytesMax: 1024,
  tokens: [
    'limit=',
    'offset=',
    'sort=name',
    'order=desc',
    'status=running',
    'dry_run=true',
    '&',
    '%',
    '%2C',
    '+',
    ',',
  ],
  run(input) {
    const text = input.toString('latin1');
    const query = new Query(text);
    const limit = query.count('limit', 100);
    const offset = query.count('offset');
    const flag = query.flag('dry_run');
    const sort = query.choice('sort', ['name', 'status'], 'name');
    const statuses = query.choices('status', ['running', 'stopped']);
    const refused = allowing(isVolantError('PARAMETER_INVALID'), () => {
      query.throwProblems();
      return false;
    });
    if (refused === undefined) return;
    hold(
      limit === undefined || (Number.isInteger(limit) && limit >= 0 && limit <= 100),
      'a limit is in its bounds',
    );
    hold(offset === undefined || Number.isSafeInteger(offset), 'a count is a whole number');
    hold(
      typeof flag === 'boolean' && ['name', 'status'].includes(sort),
      'a choice is one of its set',
    );
    hold(
      statuses.every((status) => ['running', 'stopped'].includes(status)),
      'choices are of their set',
    );
    decoded(text);
  },
};

const jsonRpc: FuzzTarget = {
  name: 'json-rpc',
  bytesMax: 4096,
  isJson: true,
  tokens: ['"jsonrpc":"2.0"', '"id":', '"method":', '"params":', '"result":', 'null'],
  run(input) {
    const value = allowing(isVolantError('JSON_INVALID', 'BODY_INVALID'), () => parseJson(input));
    const message = allowing(
      (error) => error instanceof RpcError,
      () => readMessage(value),
    );
    if (!message) return;
    hold(
      typeof message.method === 'string' && typeof message.params === 'object',
      'a message has a method',
    );
    hold(
      message.id === undefined || ['string', 'number'].includes(typeof message.id),
      'an id is a text or a number',
    );
  },
};

function checkAddresses(text: string): void {
  const address = parseIpv4(text);
  if (address !== null) hold(formatIpv4(address) === text, 'an address is written as it was read');
  const network = parseCidr(text);
  if (network !== null) {
    const again = parseCidr(`${formatIpv4(network.base)}/${network.prefixLength}`);
    hold(again?.base === network.base, 'a network is written as it was read');
  }
  isPublicAddress(text);
  hold(isSameAddress(text, text), 'an address is itself');
  if (isPciAddress(text))
    hold(isPciAddress(normalPciAddresses([text])[0] ?? ''), 'a normal address is one');
  isDevicePattern(text);
}

const locations: FuzzTarget = {
  name: 'locations',
  bytesMax: 2048,
  tokens: [
    'http://',
    'https://',
    'file:///',
    '@',
    '%2e',
    '%252f',
    '..',
    '\\',
    '?',
    '#',
    '::',
    '64:ff9b::',
    '/24',
    '0000:01:00.0',
    '10de:*',
  ],
  run(input) {
    const text = input.toString();
    checkAddresses(text);
    const found = imageLocation(text);
    if (typeof found !== 'string') {
      hold(found.isRemote || found.location.startsWith('/'), 'a file has an absolute path');
      hold(!found.location.includes('\0'), 'a location has no NUL');
      const again = imageLocation(found.location);
      hold(typeof again !== 'string' && again.location === found.location, 'a location is itself');
      if (found.isRemote)
        hold(
          !withoutSecrets(found.location).includes('@') || new URL(found.location).username === '',
          'no secret is told',
        );
    }
    withoutSecrets(text);
    // As a URL parser climbs.
    if (text.startsWith('/') && !/[?#]/.test(text) && !hasDotSegment(text)) {
      const { pathname } = new URL(`http://host/a/b${text.replace(/[\t\n\r]/g, '')}`);
      hold(
        pathname.startsWith('/a/b/'),
        `a path without dots does not climb: ${JSON.stringify(text)}`,
      );
    }
  },
};

/** What arrives as one stream, in pieces. */
async function eventsOf(pieces: readonly Buffer[]): Promise<string> {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
  const events: unknown[] = [];
  for await (const event of readServerSentEvents(body, () => undefined)) events.push(event);
  return JSON.stringify(events);
}

const eventStream: FuzzTarget = {
  name: 'event-stream',
  bytesMax: 2048,
  tokens: ['data: ', 'event: ', 'id: ', '\n\n', '\r\n', '\r', ': comment\n', '\ufeff'],
  async run(input) {
    const whole = await eventsOf([input]);
    const cut = await eventsOf(piecesOf(input, input.length));
    hold(whole === cut, 'pieces make no difference');
  },
};

export const clientTargets = [bodies, queries, jsonRpc, locations, eventStream];
