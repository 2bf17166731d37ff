// engine, vms: how a request becomes a config and a config a launch, as properties that hold for every input.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { LIMITS } from '../../../../src/config/limits.ts';
import { builtinPlugins } from '../../../../src/engine/plugins/builtin-plugins.ts';
import { checkedManifest } from '../../../../src/engine/plugins/plugins.ts';
import type { HypervisorFacts } from '../../../../src/engine/ports/process-ports.ts';
import {
  DEFAULT_RESOURCES,
  type LaunchInput,
  type ResolutionDefaults,
  resolveConfig,
  resolveLaunch,
} from '../../../../src/engine/vms/launch/launch-spec.ts';
import { VolantError } from '../../../../src/lib/errors.ts';
import type { Manifest } from '../../../../src/schema/manifest.ts';
import { NAME_CHARACTERS_MAX } from '../../../../src/schema/parts.ts';
import type { CreateVmRequest } from '../../../../src/schema/vm.ts';
import type { VmConfig } from '../../../../src/schema/vm-config.ts';

const DEFAULTS: ResolutionDefaults = {
  apiHost: '10.0.0.1',
  apiPort: 7777,
  cpuCoresMax: 64,
  memoryMbMin: 32,
  memoryMbMax: 65_536,
  kernelCmdlineBytesMax: LIMITS.kernelCmdlineBytesMax,
  isSimulated: false,
};

const FACTS: HypervisorFacts = {
  driver: 'qemu',
  executable: '/usr/bin/qemu-system-x86_64',
  version: '10.0.2',
  accelerator: 'tcg',
  reason: 'a test',
  kvmTrial: null,
  tscKhz: 2_000_000,
  vhostVsock: true,
  dataDirectories: [],
};

/** As it is kept after an installation. */
function manifestOf(more: Partial<Manifest> = {}): Manifest {
  const [hello] = builtinPlugins('/images');
  assert.ok(hello);
  return { ...checkedManifest(hello, ''), ...more };
}

/** 0 means: not set. */
const cores = fc.option(fc.integer({ min: 0, max: 64 }), { nil: undefined });
const memory = fc.option(fc.oneof(fc.constant(0), fc.integer({ min: 32, max: 65_536 })), {
  nil: undefined,
});
const resources = fc.record({ cpu_cores: cores, memory_mb: memory });
const address = fc.ipV4();
const mac = fc
  .uint8Array({ minLength: 6, maxLength: 6 })
  .map((bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':'));
const name = fc.stringMatching(
  new RegExp(`^[a-z][a-z0-9-]{0,${NAME_CHARACTERS_MAX - 2}}[a-z0-9]$`),
);
const cmdline = fc
  .array(fc.stringMatching(/^[a-z]{1,8}(=[a-zA-Z0-9,./]{0,40})?$/), { maxLength: 60 })
  .map((words) => words.join(' '));
/** About as long as the kernel takes, with our own arguments. */
const longCmdline = fc.integer({ min: 1_200, max: 1_900 }).map((length) => 'x'.repeat(length));
const mode = fc.constantFrom('bridged', 'vsock', 'dhcp');
const devices = fc.array(fc.constantFrom('0000:01:00.0', '0000:0A:00.1'), { maxLength: 2 });

/** Without the members that are undefined: a body has none. */
const body = <Value>(value: Value): Value => JSON.parse(JSON.stringify(value));

const launch = fc.record({
  name,
  ipAddress: fc.option(address),
  macAddress: mac,
  tapName: fc.option(fc.constant('vtabcd-1')),
  vsockCid: fc.integer({ min: 3, max: 2 ** 31 }),
  nameServers: fc.array(address, { maxLength: 5 }),
  prefixLength: fc.integer({ min: 8, max: 30 }),
  accelerator: fc.constantFrom('kvm' as const, 'tcg' as const),
  tscKhz: fc.integer({ min: 100_000, max: 9_999_999 }),
  vhostVsock: fc.boolean(),
  machine: fc.constantFrom('auto' as const, 'q35' as const),
});

type Launch = typeof launch extends fc.Arbitrary<infer Value> ? Value : never;

function inputOf(config: VmConfig, given: Launch): LaunchInput {
  const { ipAddress, macAddress, tapName, vsockCid } = given;
  return {
    vmId: 1,
    name: given.name,
    config,
    replica: undefined,
    leases: { ipAddress, macAddress, tapName, vsockCid },
    facts: {
      ...FACTS,
      accelerator: given.accelerator,
      tscKhz: given.tscKhz,
      vhostVsock: given.vhostVsock,
    },
    kernelPath: '/kernel',
    machine: given.machine,
    runDirectory: '/run/volant/1',
    hostIp: '10.0.0.1',
    prefixLength: given.prefixLength,
    nameServers: given.nameServers,
    kernelCmdlineBytesMax: LIMITS.kernelCmdlineBytesMax,
  };
}

/** The config of a request, or null where it is refused for its command line. */
function accepted(request: Omit<CreateVmRequest, 'name'>, manifest: Manifest): VmConfig | null {
  try {
    return resolveConfig(request, manifest, DEFAULTS);
  } catch (error) {
    if (error instanceof VolantError && error.code === 'CMDLINE_TOO_LONG') return null;
    throw error;
  }
}

function frozen<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null) return value;
  for (const member of Object.values(value)) frozen(member);
  return Object.freeze(value);
}

suite('the resolution of a config', () => {
  test('takes each field from the request, else its config, else the manifest, else the default', () => {
    fc.assert(
      fc.property(resources, resources, resources, (own, inConfig, inManifest) => {
        const manifest = manifestOf({ resources: body(inManifest) as Manifest['resources'] });
        const request = body({ ...own, config: { resources: inConfig } });
        const { resources: resolved } = resolveConfig(
          request as CreateVmRequest,
          manifest,
          DEFAULTS,
        );
        for (const field of ['cpu_cores', 'memory_mb'] as const) {
          const order = [own[field], inConfig[field], inManifest[field]];
          assert.equal(resolved[field], order.find(Boolean) ?? DEFAULT_RESOURCES[field], field);
        }
      }),
    );
  });

  test('of a config that was resolved is that config', () => {
    fc.assert(
      fc.property(resources, cmdline, mode, (own, kernel_cmdline, network) => {
        const request = body({ ...own, kernel_cmdline, config: { network: { mode: network } } });
        const config = accepted(request as CreateVmRequest, manifestOf());
        if (config === null) return;
        assert.deepEqual(resolveConfig({ config }, config.manifest, DEFAULTS), config);
      }),
    );
  });

  test('refuses what is out of bounds by the names of its fields, all of them at once', () => {
    const request = { cpu_cores: 65, memory_mb: 31, runtime: 'other' };
    assert.throws(
      () => resolveConfig(request, manifestOf(), DEFAULTS),
      (error) => {
        assert.ok(error instanceof VolantError);
        assert.equal(error.code, 'BODY_INVALID');
        const fields = Object.keys(error.details ?? {}).sort();
        assert.deepEqual(fields, ['cpu_cores', 'memory_mb', 'runtime']);
        return true;
      },
    );
  });
});

suite('the resolution of a launch', () => {
  test('goes through for every config that was accepted, whatever its leases and its host', () => {
    let refused = 0;
    fc.assert(
      fc.property(
        fc.oneof(cmdline, longCmdline),
        mode,
        devices,
        launch,
        (kernel_cmdline, network, pci, given) => {
          const request = body({
            kernel_cmdline,
            config: { network: { mode: network }, devices: { pci_passthrough: pci } },
          });
          const config = accepted(request as CreateVmRequest, manifestOf());
          if (config === null) {
            refused += 1;
            return;
          }
          const { spec } = resolveLaunch(inputOf(config, given));
          // The kernel ends it with a NUL.
          assert.ok(Buffer.byteLength(spec.kernelCmdline) < LIMITS.kernelCmdlineBytesMax);
        },
      ),
      { numRuns: 500 },
    );
    assert.ok(refused > 0, 'some of the command lines are too long');
  });

  test('gives a machine with PCI to a VM with devices, a card for a tap, a socket where the host has one', () => {
    fc.assert(
      fc.property(mode, devices, launch, (network, pci, given) => {
        const config = resolveConfig(
          body({ config: { network: { mode: network }, devices: { pci_passthrough: pci } } }),
          manifestOf(),
          DEFAULTS,
        );
        const { spec, manifestOverChannel } = resolveLaunch(inputOf(config, given));
        const needsPci = pci.length > 0 || given.machine === 'q35';
        assert.equal(spec.machine, needsPci ? 'q35' : 'microvm');
        assert.equal(spec.network?.tapName ?? null, given.tapName);
        assert.equal(spec.vsockCid !== null, network === 'vsock' && given.vhostVsock);
        const isOnLine = spec.kernelCmdline.includes(' volant.manifest=');
        assert.equal(isOnLine, manifestOverChannel === null);
      }),
    );
  });

  test('is pure: the same of the same, and nothing of its input changes', () => {
    fc.assert(
      fc.property(launch, (given) => {
        const config = resolveConfig({}, manifestOf(), DEFAULTS);
        const input = frozen(inputOf(config, given));
        assert.deepEqual(resolveLaunch(input), resolveLaunch(input));
      }),
    );
  });
});
