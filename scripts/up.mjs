// scripts: from a checkout, or an installed package, to a running VM (npm run up): checks the host, sets up what is
// missing, starts the daemon and the VM "hello", and prints its first answer. It can be run repeatedly.

import { existsSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure, runMain } from './lib/command.mjs';
import {
  consolePath,
  describeTrouble,
  readConsole,
  silenceOf,
  troubleOf,
} from './lib/guest/guest-check.mjs';
import { homeDirectory, userCommand } from './lib/paths.mjs';
import { alreadyThere, createProgress, formatSeconds } from './lib/progress.mjs';
import {
  answers,
  callApi,
  callHttp,
  curlTarget,
  daemonFiles,
  ENTRY,
  expectApi,
  findDaemon,
} from './lib/service/daemon.mjs';
import {
  buildProblems,
  describeHost,
  nodeLimit,
  requireNone,
  runProblems,
} from './lib/service/preflight.mjs';
import { checkSettings, differences, environmentOf } from './lib/service/settings.mjs';
import {
  daemonEnvironment,
  isOrphaned,
  replaceDaemon,
  startDaemon,
  stopDaemon,
} from './lib/service/start.mjs';
import { isCompiled, setup } from './setup.mjs';

const VM_NAME = 'hello';
const GUEST_PORT = 8080;
const GUEST_TIMEOUT_MS = 60_000;
const LOOK_EVERY_MS = 50;
/** The agent reports the workload's state at once, but not during its start. */
const NEWS_TIMEOUT_MS = 3_000;
const API_TIMEOUT_MS = 30_000;

async function check(home) {
  // The daemon checks its own settings. If it is not compiled yet, they are checked later.
  const settings = (await isCompiled()) ? await checkSettings(daemonEnvironment(home)) : null;
  requireNone([
    ...buildProblems(),
    ...(await runProblems(home)),
    ...(settings?.problems ?? []).map((problem) => `${problem}.`),
  ]);
  return alreadyThere(describeHost());
}

async function checkAgain(home, log) {
  const { problems, warnings, settings } = await checkSettings(daemonEnvironment(home));
  requireNone(problems.map((problem) => `${problem}.`));
  for (const warning of warnings) log.line(`  ! ${warning}.`);
  return settings;
}

async function ensureDaemon(home, settings, tell) {
  const running = findDaemon(home);
  if (running === null) {
    // Between two restarts its supervisor would start it with the old settings.
    await stopDaemon(home);
    tell('starting');
    return `started, pid ${await startDaemon(home)}`;
  }
  requireSameSettings(home, settings, running);
  // The daemon writes the lock when it starts: if the lock is older than the code, the daemon runs old code.
  const outdated = existsSync(ENTRY) && running.startedAtMs < statSync(ENTRY).mtimeMs;
  if (!outdated && !isOrphaned(home, running)) {
    await untilItAnswers(running.pid);
    return alreadyThere(`runs, pid ${running.pid}`);
  }
  tell('ending the old daemon; VMs continue to run');
  const pid = await replaceDaemon(home, running);
  return `restarted ${outdated ? 'with the new code' : 'with a supervisor'}, pid ${pid}`;
}

/** A daemon reads its settings when it starts: a running one would ignore those of this shell. */
function requireSameSettings(home, settings, { pid }) {
  const found = differences(settings, environmentOf(pid), daemonEnvironment(home));
  if (found.length === 0) return;
  const list = found.map((sentence) => `  - ${sentence}`).join('\n');
  throw new Failure(
    `The daemon runs already (pid ${pid}), with other settings than those of this shell:\n${list}\nTo use those of this shell, run \`${userCommand('down')}\`, then this command again; VMs continue to run. To keep those of the daemon, set the same here.`,
  );
}

async function untilItAnswers(pid) {
  const deadlineMs = performance.now() + API_TIMEOUT_MS;
  while (!(await answers())) {
    if (performance.now() > deadlineMs) {
      throw new Failure(
        `The daemon runs (pid ${pid}) but does not answer at the address that VOLANT_API_LISTEN gives. Its log is ${daemonFiles(homeDirectory()).log}.`,
      );
    }
    await sleep(LOOK_EVERY_MS);
  }
}

/** The API answers during the recovery, which looks for what an earlier daemon left. This waits for its end. */
async function untilRecovered() {
  const deadlineMs = performance.now() + API_TIMEOUT_MS;
  while ((await expectApi('GET', '/api/v1/system/info')).recovery === null) {
    if (performance.now() > deadlineMs)
      throw new Failure('The daemon does not finish its recovery.');
    await sleep(LOOK_EVERY_MS);
  }
}

async function ensureVm(tell) {
  tell('waiting for the recovery');
  await untilRecovered();
  const path = `/api/v1/vms/${VM_NAME}`;
  const { status, body: vm } = await callApi('GET', path);
  if (status === 404) {
    tell('creating it');
    const created = await expectApi('POST', '/api/v1/vms', { name: VM_NAME, plugin: 'hello' });
    return `created ${VM_NAME} at ${created.ip_address}`;
  }
  if (status !== 200) throw new Failure(`The API answered ${status}: ${vm?.error ?? vm}`);
  if (vm.status === 'stopped' || vm.status === 'crashed') {
    tell('starting it');
    const started = await expectApi('POST', `${path}/start`);
    return `started ${VM_NAME} at ${started.ip_address}`;
  }
  return alreadyThere(`${VM_NAME} is ${vm.status}`);
}

/** Waits until the workload in the guest answers, through its agent. Ends early if the guest will not boot. */
async function firstAnswer() {
  const path = `/api/v1/vms/${VM_NAME}`;
  const deadlineMs = performance.now() + GUEST_TIMEOUT_MS;
  let last = 'nothing';
  for (;;) {
    const vm = await expectApi('GET', path);
    const said = readConsole(consolePath(vm));
    const trouble =
      troubleOf(vm, said) ??
      (performance.now() > deadlineMs ? silenceOf(said, last, GUEST_TIMEOUT_MS / 1000) : null);
    if (trouble !== null) {
      const next = `Then remove the VM, \`curl -X DELETE ${curlTarget()}${path}\`, and run \`${userCommand('up')}\` again.`;
      throw new Failure(describeTrouble(trouble, vm, said, next));
    }
    try {
      const target = { host: vm.ip_address, port: GUEST_PORT, method: 'GET', path: '/v1/' };
      const answer = await callHttp(target, undefined, 2_000);
      if (answer.status === 200) return answer.body;
      last = `status ${answer.status}`;
    } catch (error) {
      last = error.message;
    }
    await sleep(LOOK_EVERY_MS);
  }
}

/** The VM after the daemon has the state of its workload; the current data after a timeout. */
async function shownVm() {
  const deadlineMs = performance.now() + NEWS_TIMEOUT_MS;
  for (;;) {
    const vm = await expectApi('GET', `/api/v1/vms/${VM_NAME}`);
    const isNews = vm.workload === undefined || vm.workload.healthy === true;
    if (isNews || performance.now() > deadlineMs) return vm;
    await sleep(LOOK_EVERY_MS);
  }
}

const USAGE = `Use: ${userCommand('up')}. It takes no arguments; settings are environment variables, see docs/configuration.md.`;

await runMain(
  async () => {
    const startedMs = performance.now();
    const home = homeDirectory();
    const log = createProgress();
    log.heading('Volant');
    await log.step('host', () => check(home));
    const limit = nodeLimit();
    if (limit !== null) log.line(`  ! ${limit}.`);
    await setup({ log, home });
    const settings = await checkAgain(home, log);
    await log.step('daemon', (tell) => ensureDaemon(home, settings, tell));
    await log.step('VM', ensureVm);
    const { hypervisor } = await expectApi('GET', '/api/v1/system/info');
    const simulated = hypervisor.driver === 'simulator';
    let answer = 'Nothing: the simulator runs no guest.';
    await log.step('guest', async () => {
      if (simulated) return alreadyThere('none runs under the simulator');
      answer = await firstAnswer();
      return 'answers';
    });
    const vm = await shownVm();

    const api = curlTarget();
    log.line();
    log.heading(`The guest says (http://${vm.ip_address}:${GUEST_PORT}/v1/)`);
    log.line(typeof answer === 'string' ? answer : JSON.stringify(answer, null, 2));
    log.line();
    log.heading(`The API says (GET /api/v1/vms/${VM_NAME})`);
    log.line(JSON.stringify(vm, null, 2));
    log.line();
    log.heading('Try next');
    log.line(`  curl -s ${api}/api/v1/vms`);
    log.line(`  curl -s -X POST ${api}/api/v1/vms -d '{"name": "second", "plugin": "hello"}'`);
    log.line(`  curl -s -X DELETE ${api}/api/v1/vms/second`);
    log.line();
    log.line(`Total time: ${formatSeconds((performance.now() - startedMs) / 1000)}.`);
    log.line(
      log.dim(
        `The daemon's log: ${daemonFiles(home).log}. To end the daemon: ${userCommand('down')}.`,
      ),
    );
  },
  { usage: USAGE, allowed: [] },
);
