// scripts: from a checkout to a running VM (npm run up): checks the host, sets up what is missing,
// starts the daemon and the VM "hello", and shows its first answer. Can be run again at any time.

import { existsSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure, runMain } from './lib/command.mjs';
import {
  answers,
  callApi,
  callHttp,
  curlTarget,
  daemonFiles,
  ENTRY,
  expectApi,
  findDaemon,
  startDaemon,
  stopDaemon,
} from './lib/daemon.mjs';
import { homeDirectory } from './lib/paths.mjs';
import { buildProblems, describeHost, requireNone, runProblems } from './lib/preflight.mjs';
import { alreadyThere, createProgress, formatSeconds } from './lib/progress.mjs';
import { setup } from './setup.mjs';

const VM_NAME = 'hello';
const GUEST_PORT = 8080;
const GUEST_TIMEOUT_MS = 60_000;
const LOOK_EVERY_MS = 50;
const API_TIMEOUT_MS = 30_000;

async function check(home) {
  requireNone([...buildProblems(), ...(await runProblems(home))]);
  return alreadyThere(describeHost());
}

async function ensureDaemon(home, tell) {
  const running = findDaemon(home);
  // The lock is written when the daemon starts: an older one runs code that has been replaced.
  const outdated =
    running !== null && existsSync(ENTRY) && running.startedAtMs < statSync(ENTRY).mtimeMs;
  if (running !== null && !outdated) {
    await untilItAnswers(running.pid);
    return alreadyThere(`runs, pid ${running.pid}`);
  }
  if (outdated) {
    tell('ending the old one; VMs run on');
    await stopDaemon(home, running);
  }
  tell('starting');
  const pid = await startDaemon(home);
  return `${outdated ? 'restarted with the new code' : 'started'}, pid ${pid}`;
}

async function untilItAnswers(pid) {
  const deadlineMs = Date.now() + API_TIMEOUT_MS;
  while (!(await answers())) {
    if (Date.now() > deadlineMs) {
      throw new Failure(
        `The daemon runs (pid ${pid}) but does not answer at the address that VOLANT_API_LISTEN gives. If you changed that setting: \`npm run down\` first.`,
      );
    }
    await sleep(LOOK_EVERY_MS);
  }
}

/** The API answers while the daemon still looks at what an earlier one left; that comes to an end first. */
async function untilRecovered() {
  const deadlineMs = Date.now() + API_TIMEOUT_MS;
  while ((await expectApi('GET', '/api/v1/system/info')).recovery === null) {
    if (Date.now() > deadlineMs) throw new Failure('The daemon does not finish its recovery.');
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

/** Waits until the workload in the guest answers, through its agent. */
async function firstAnswer(vm) {
  const target = { host: vm.ip_address, port: GUEST_PORT, method: 'GET', path: '/v1/' };
  const deadlineMs = Date.now() + GUEST_TIMEOUT_MS;
  let last = 'nothing';
  while (Date.now() < deadlineMs) {
    try {
      const answer = await callHttp(target, undefined, 2_000);
      if (answer.status === 200) return answer.body;
      last = `status ${answer.status}`;
    } catch (error) {
      last = error.message;
    }
    await sleep(LOOK_EVERY_MS);
  }
  throw new Failure(
    `The guest did not answer at ${vm.ip_address}:${GUEST_PORT} within ${GUEST_TIMEOUT_MS / 1000} s (last: ${last}). Its console is ${vm.serial_socket.replace(/serial\.sock$/, 'console.log')}.`,
  );
}

await runMain(async () => {
  const startedMs = performance.now();
  const home = homeDirectory();
  const log = createProgress();
  log.heading('Volant');
  await log.step('host', () => check(home));
  await setup({ log, home });
  await log.step('daemon', (tell) => ensureDaemon(home, tell));
  await log.step('VM', ensureVm);
  const vm = await expectApi('GET', `/api/v1/vms/${VM_NAME}`);
  let answer;
  await log.step('guest', async () => {
    answer = await firstAnswer(vm);
    return `answers at http://${vm.ip_address}:${GUEST_PORT}/v1/`;
  });

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
  log.line(`All of it took ${formatSeconds((performance.now() - startedMs) / 1000)}.`);
  log.line(log.dim(`The daemon's log: ${daemonFiles(home).log}. To end the daemon: npm run down.`));
});
