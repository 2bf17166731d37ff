// cli, commands: `volar vms`, joined from one file for each group of its commands.

import type { Command } from 'commander';
import type { ShellMaker } from '../shell-maker.ts';
import { addVmConfig } from './vm-config.ts';
import { addVmConsole } from './vm-console.ts';
import { addVmCreate } from './vm-create.ts';
import { addVmDeadline } from './vm-deadline.ts';
import { addVmEgress } from './vm-egress.ts';
import { addVmLifecycle } from './vm-lifecycle.ts';
import { addVmLogs } from './vm-logs.ts';
import { addVmOperations } from './vm-operations.ts';
import { addVmQueries } from './vm-queries.ts';
import { addVmResult } from './vm-result.ts';
import { addVmScale } from './vm-scale.ts';
import { addVmWhy } from './vm-why.ts';

export function addVms(program: Command, shells: ShellMaker): void {
  const vms = program.command('vms').alias('vm').description('virtual machines');
  addVmQueries(vms, shells);
  addVmCreate(vms, shells);
  addVmLifecycle(vms, shells);
  addVmDeadline(vms, shells);
  addVmScale(vms, shells);
  addVmConfig(vms, shells);
  addVmEgress(vms, shells);
  addVmLogs(vms, shells);
  addVmConsole(vms, shells);
  addVmOperations(vms, shells);
  addVmResult(vms, shells);
  addVmWhy(vms, shells);
}
