// http, access: the files that protect the API, keys and certificate. They are checked before the daemon does anything
// else, read again while it serves, and described in the daemon's facts.

import { LIMITS } from '../../config/limits.ts';
import { type Config, ConfigError } from '../../config.ts';
import { marksOf, watchFiles } from '../../lib/files/watch-files.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { ListenAddress } from '../../lib/settings.ts';
import type { Listener } from '../listener.ts';
import type { TemplatedApp } from '../uws.ts';
import { type KeyFacts, readKeys } from './key-ring.ts';
import { checkTls, makeApp, type TlsFacts } from './tls.ts';

export interface GuardFacts {
  readonly keys: KeyFacts | null;
  readonly tls: TlsFacts | null;
}

type GuardSettings = Pick<
  Config,
  'apiKey' | 'keysFile' | 'keysFileNamed' | 'openToAll' | 'tls' | 'listen' | 'allowedNetworks'
>;

/** Rejects with ConfigError for files that cannot be used, and for an API that is open to everybody by accident. */
export async function checkGuards(config: GuardSettings): Promise<void> {
  const problems: string[] = [];
  const note = (error: unknown) => {
    problems.push(error instanceof Error ? error.message : String(error));
    return null;
  };
  const keysSetting = (error: unknown) =>
    note(`VOLANT_API_KEYS_FILE: ${error instanceof Error ? error.message : error}`);
  const keys = await readKeys(config.keysFile).catch(keysSetting);
  if (keys === null && config.keysFileNamed && problems.length === 0) {
    problems.push(
      `VOLANT_API_KEYS_FILE: ${config.keysFile} does not exist; create it with \`volar keys create\``,
    );
  }
  if (config.tls !== null) await checkTls(config.tls).catch(note);
  const needsNoKey = config.apiKey === null && keys === null && problems.length === 0;
  if (needsNoKey && isExposed(config)) problems.push(exposedProblem(config.listen));
  if (problems.length > 0) throw new ConfigError(problems);
}

/** An allow-list of addresses is an explicit decision about who may connect, too. */
function isExposed({ listen, openToAll, allowedNetworks }: GuardSettings): boolean {
  if (openToAll || allowedNetworks.length > 0 || listen.kind === 'unix') return false;
  return !/^(localhost$|127\.|::1$)/.test(listen.host);
}

function exposedProblem(listen: ListenAddress): string {
  const where = listen.kind === 'tcp' ? `${listen.host}:${listen.port}` : listen.path;
  return `VOLANT_API_LISTEN: everybody who reaches ${where} could do everything on this host. Create a key with \`volar keys create\` or set VOLANT_API_KEY; or list the allowed addresses in VOLANT_API_ALLOW_CIDR; or, if the network itself is closed to others, set VOLANT_API_OPEN=yes.`;
}

/** The TLS certificate of a running server, and its replacement when the files change. */
export class Certificate {
  readonly #files: NonNullable<Config['tls']>;
  readonly #log: Logger;
  #facts: TlsFacts;
  #stop: () => void = () => undefined;

  private constructor(files: NonNullable<Config['tls']>, log: Logger, facts: TlsFacts) {
    this.#files = files;
    this.#log = log;
    this.#facts = facts;
  }

  /** null for plain HTTP. Rejects with a sentence for the operator if the files cannot be used. */
  static async open(files: Config['tls'], log: Logger): Promise<Certificate | null> {
    return files === null ? null : new Certificate(files, log, await checkTls(files));
  }

  get facts(): TlsFacts {
    return this.#facts;
  }

  /**
   * Starts to watch the files. New connections get the new certificate after a change. `bind` registers the routes of an
   * app.
   */
  async watch(listener: Listener, bind: (app: TemplatedApp) => void): Promise<void> {
    const paths = [this.#files.certificate, this.#files.key];
    const marks = await marksOf(paths);
    const reload = () => this.#reload(listener, bind);
    this.#stop = watchFiles(paths, LIMITS.filesWatchMs, marks, reload);
  }

  close(): void {
    this.#stop();
  }

  /** Certificate and key are two files: while only one of them is new, they do not match. */
  async #reload(listener: Listener, bind: (app: TemplatedApp) => void): Promise<void> {
    try {
      const facts = await checkTls(this.#files);
      const app = makeApp(this.#files);
      bind(app);
      await listener.replace(app, (why) =>
        this.#log.error({ why }, 'another program took the listening address'),
      );
      this.#facts = facts;
      this.#log.info({ ...facts }, 'new connections get the new certificate');
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      this.#facts = { ...this.#facts, problem };
      this.#log.error({ problem }, 'the new certificate cannot be used; the old one stays in use');
    }
  }
}
