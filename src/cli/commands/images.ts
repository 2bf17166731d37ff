// cli, commands: `volar images`: container images on the host of the daemon.

import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Image } from '../../client/types.ts';
import { UsageError } from '../exit.ts';
import { forEachName } from '../for-each-name.ts';
import type { Shell } from '../shell.ts';
import type { ShellMaker } from '../shell-maker.ts';
import type { Column } from '../terminal/table.ts';

const MEBIBYTE = 2 ** 20;
const DIGEST_SHOWN = 'sha256:'.length + 12;

const COLUMNS: readonly Column<Image>[] = [
  { title: 'NAME', of: ({ names }) => names[0] ?? '-' },
  { title: 'DIGEST', of: ({ digest }) => digest.slice(0, DIGEST_SHOWN) },
  { title: 'SIZE', of: ({ disk_bytes }) => mebibytes(disk_bytes) },
  { title: 'USED', of: ({ in_use }) => (in_use ? 'yes' : 'no') },
  { title: 'CREATED', of: ({ created_at }) => created_at },
];

const IMAGE_HELP = 'a name such as nginx:1.27, or a digest';
const KINDS = ['docker', 'oci'] as const;

export function addImages(program: Command, shells: ShellMaker): void {
  const images = program
    .command('images')
    .alias('image')
    .description('container images on the host');
  addQueries(images, shells);
  addPulls(images, shells);
  images
    .command('remove')
    .alias('rm')
    .description('remove images that no VM is made of')
    .argument('<image...>', IMAGE_HELP)
    .action(
      shells.action((shell, names) =>
        forEachName(shell, names, async (name) => {
          await shell.client.images.remove(name);
          shell.say({ image: name, removed: true }, `${name}  removed`);
        }),
      ),
    );
}

function addQueries(images: Command, shells: ShellMaker): void {
  images
    .command('list')
    .alias('ls')
    .description('list images, and pulls under way')
    .action(
      shells.action(async (shell) => {
        const { images: found, pulls } = await shell.client.images.list();
        if (shell.json) return shell.printJson({ images: found, pulls });
        shell.printRows(found, COLUMNS, 'No images.');
        for (const { image, received_bytes, total_bytes } of pulls) {
          const total = total_bytes === undefined ? '' : ` of ${mebibytes(total_bytes)}`;
          shell.note(`${image} is being pulled: ${mebibytes(received_bytes)}${total}`);
        }
      }),
    );
  images
    .command('show')
    .alias('get')
    .description('show what an image says of its program')
    .argument('<image>', IMAGE_HELP)
    .action(
      shells.action(async (shell, [name = '']) => {
        const image = await shell.client.images.get(name);
        shell.printFacts(image, [
          ['digest', image.digest],
          ['names', image.names.join(' ') || '-'],
          ['entrypoint', words(image.entrypoint)],
          ['command', words(image.command)],
          ['user', image.user || 'root'],
          ['directory', image.workdir || '/'],
          [
            'ports',
            image.exposed_ports.map(({ port, protocol }) => `${port}/${protocol}`).join(' ') || '-',
          ],
          ['volumes', image.volumes.join(' ') || '-'],
          ['stop signal', image.stop_signal],
          ['variables', Object.keys(image.env).join(' ') || '-'],
          ['size', `${mebibytes(image.disk_bytes)}, ${image.layers} layers`],
          ['used by VMs', image.in_use ? 'yes' : 'no'],
          ['created', image.created_at],
        ]);
      }),
    );
}

function addPulls(images: Command, shells: ShellMaker): void {
  images
    .command('pull')
    .description('ask the registry what a name means now, and make its root disk')
    .argument('<image>', 'a name such as nginx:1.27')
    .option('--digest <digest>', 'the digest that the image or its index must have')
    .action(
      shells.action<{ digest?: string }>((shell, [name = ''], { digest }) =>
        pull(shell, name, digest === undefined ? {} : { digest }),
      ),
    );
  images
    .command('import')
    .description('make the root disk of an image in a file or directory of the daemon\u2019s host')
    .argument('<path>', 'an archive, or the directory of an OCI layout')
    .option(
      '--format <format>',
      'docker (of docker save), oci (an archive) or layout (a directory)',
      'docker',
    )
    .action(
      shells.action<{ format: string }>((shell, [path = ''], { format }) => {
        if (format === 'layout') return pull(shell, `oci:${resolve(path)}`, {});
        const kind = KINDS.find((name) => name === format);
        if (kind === undefined) throw new UsageError('--format must be docker, oci or layout');
        return pull(shell, `${kind}-archive:${resolve(path)}`, {});
      }),
    );
}

async function pull(shell: Shell, name: string, options: { digest?: string }): Promise<void> {
  const work = shell.client.images.pull(name, options);
  const image = await shell.progressOf({ kind: 'Image', name }, `Pulling ${name}`, work);
  shell.say(image, `${name}  ${image.digest}`);
}

function words(given: readonly string[]): string {
  return given.length === 0
    ? '-'
    : given.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word))).join(' ');
}

function mebibytes(bytes: number): string {
  return `${(bytes / MEBIBYTE).toFixed(1)} MiB`;
}
