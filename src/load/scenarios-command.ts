// load: `volant-load scenarios`: what comes with volant-load.

import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { CommandWorld } from './command-world.ts';
import { readScenarioFile } from './scenario/scenario-file.ts';
import { scenarioPath, shippedScenarios } from './scenario/shipped.ts';

export function addScenarios(program: Command, world: CommandWorld): void {
  program
    .command('scenarios')
    .description(
      'list the scenarios that come with volant-load, or print one to start your own from',
    )
    .argument('[name]', 'the one to print')
    .action(async (name: string | undefined) => {
      if (name !== undefined) {
        world.stdout.write(await readFile(scenarioPath(name), 'utf8'));
        return;
      }
      for (const line of await descriptions()) world.stdout.write(`${line}\n`);
    });
}

async function descriptions(): Promise<readonly string[]> {
  const rows = await Promise.all(
    shippedScenarios().map(async (name) => {
      const { description } = await readScenarioFile(scenarioPath(name));
      return [name, description.split('. ')[0] ?? ''];
    }),
  );
  const width = Math.max(...rows.map(([name]) => name?.length ?? 0));
  return rows.map(([name = '', description = '']) => `${name.padEnd(width)}  ${description}`);
}
