// scripts: decides from the status and the console of a VM whether its guest boots. The status `running` only means that
// the hypervisor runs, which is also true for a guest that found nothing to boot.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** How much of the end of a console is read, and how much is printed. */
const CONSOLE_BYTES_MAX = 64 * 1024;
const LINES_SHOWN_MAX = 8;
const LINE_CHARACTERS_MAX = 200;

const KERNEL_REMEDY =
  'Check the kernel (VOLANT_KERNEL_VMLINUX; without it that of set-up is used) and the hypervisor (VOLANT_HYPERVISOR) with its firmware';

/** Console messages of guests that will never boot. */
const SIGNS = [
  {
    pattern: /No bootable device/i,
    reason: 'its firmware finds nothing to boot',
    remedy: KERNEL_REMEDY,
  },
  {
    pattern: /Kernel panic - not syncing/,
    reason: 'its kernel gave up',
    remedy:
      'Check the kernel (VOLANT_KERNEL_VMLINUX) and the image of the plugin, which `npm run setup` makes',
  },
];

/** The path of a VM's console log, which is in the directory of its sockets. */
export function consolePath(vm) {
  return vm.serial_socket.replace(/serial\.sock$/, 'console.log');
}

/** The end of a file; empty if the file does not exist yet. */
export function readConsole(path) {
  let fd;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if (error.code === 'ENOENT') return '';
    throw error;
  }
  try {
    const { size } = fstatSync(fd);
    const bytes = Buffer.alloc(Math.min(size, CONSOLE_BYTES_MAX));
    const length = readSync(fd, bytes, 0, bytes.length, size - bytes.length);
    return bytes.toString('utf8', 0, length);
  } finally {
    closeSync(fd);
  }
}

/** Why the guest will not answer, as { reason, remedy }; null while it still may. */
export function troubleOf({ status, status_reason: why }, consoleText) {
  const sign = SIGNS.find(({ pattern }) => pattern.test(consoleText));
  if (sign !== undefined) return { reason: sign.reason, remedy: sign.remedy };
  if (status === 'running' || status === 'starting' || status === 'pending') return null;
  const reason = `the VM is ${status}${why ? ` (${why})` : ''}`;
  return { reason, remedy: 'Look at the log of the hypervisor beside the console' };
}

/** Like troubleOf(), for a guest that has not answered in time; `last` is the last error. */
export function silenceOf(consoleText, last, seconds) {
  if (consoleText.trim() === '') {
    return {
      reason: `it has printed nothing on its console in ${seconds} s: nothing was booted, or a kernel without this console`,
      remedy: `${KERNEL_REMEDY}; where KVM is used, try VOLANT_ACCELERATOR=tcg`,
    };
  }
  return {
    reason: `it has booted, but did not answer within ${seconds} s (last: ${last})`,
    remedy: 'Look at its console and at the log of its workload',
  };
}

/** The last lines of its console, without control characters that a terminal would act on. */
export function lastLines(consoleText) {
  return (
    consoleText
      // Escape sequences of ECMA-48: those with parameters, and those of two characters.
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
      .replace(/\x1b(\[[0-?]*[ -/]*[@-~]|[ -~])/g, '')
      .split(/[\r\n]+/)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
      .map((line) => line.replace(/[\x00-\x1f\x7f-\x9f]/g, '').trimEnd())
      .filter((line) => line !== '')
      .slice(-LINES_SHOWN_MAX)
      .map((line) => line.slice(0, LINE_CHARACTERS_MAX))
  );
}

/** The reason, the last lines of the console and the next step. */
export function describeTrouble({ reason, remedy }, vm, consoleText, nextStep) {
  const lines = lastLines(consoleText);
  const path = consolePath(vm);
  const said =
    lines.length === 0
      ? `Its console, ${path}, is empty.`
      : `The last lines of its console, ${path}:\n${lines.map((line) => `  | ${line}`).join('\n')}`;
  return `The guest of VM ${vm.name} does not boot: ${reason}.\n${said}\n${remedy}. ${nextStep}`;
}
