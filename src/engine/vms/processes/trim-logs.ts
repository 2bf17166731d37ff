// engine, vms: keeps the logs of running VMs short.

import type { Limits } from '../../../config/limits.ts';
import type { Logger } from '../../../lib/log/log.ts';
import type { ProcessHost } from '../../ports/process-ports.ts';
import type { LiveVms } from './live.ts';

/** Trims the logs of running VMs periodically, one round at a time. Ends when the timer is cleared. */
export function trimLogs(parts: {
  readonly host: Pick<ProcessHost, 'trimLogs'>;
  readonly live: Pick<LiveVms, 'runningIds'>;
  readonly limits: Pick<Limits, 'logTrimIntervalMs'>;
  readonly log: Logger;
}): NodeJS.Timeout {
  const { host, live, limits, log } = parts;
  let busy = false;
  const round = async () => {
    if (busy) return;
    busy = true;
    try {
      await host.trimLogs(live.runningIds());
    } catch (error) {
      log.warn({ err: error }, 'logs could not be trimmed');
    } finally {
      busy = false;
    }
  };
  return setInterval(() => void round(), limits.logTrimIntervalMs).unref();
}
