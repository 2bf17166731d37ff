// http: what the API server knows of itself, as metrics and as a queue; and the bound on answers with metrics.

import { LIMITS } from '../config/limits.ts';
import { VolantError } from '../lib/errors.ts';
import { type Family, gauge } from '../lib/metrics/family.ts';
import type { Queue } from '../schema/stats.ts';
import type { RequestMeter } from './exchange/request-meter.ts';
import type { Connections } from './open-connections.ts';
import type { SocketSlots } from './streams/socket-viewer.ts';
import type { EventStreams } from './streams/sse.ts';
import type { Traffic } from './traffic.ts';

export interface HttpMetricsParts {
  readonly meter: RequestMeter;
  readonly traffic: Pick<Traffic, 'size'>;
  readonly streams: Pick<EventStreams, 'size'>;
  readonly slots: Pick<SocketSlots, 'taken'>;
  readonly connections: Pick<Connections, 'open'>;
}

export class HttpMetrics {
  readonly #parts: HttpMetricsParts;
  #answers = 0;

  constructor(parts: HttpMetricsParts) {
    this.#parts = parts;
  }

  /** Requests whose answer is not complete. Further ones are refused, so none waits. */
  get queue(): Queue {
    const { size: running } = this.#parts.traffic;
    const capacity = LIMITS.requestsInFlightMax;
    return { name: 'requests', running, capacity, waiting: 0, waiting_max: 0 };
  }

  families(queues: readonly Queue[]): readonly Family[] {
    const { meter, streams, slots, connections } = this.#parts;
    const clients = { name: 'volant_http_connections', help: 'Open connections to the API' };
    return [
      ...meter.families(),
      gauge(clients, connections.open),
      gauge({ name: 'volant_event_streams', help: 'Clients that read events' }, streams.size),
      gauge(
        { name: 'volant_websockets', help: 'Open WebSockets: logs, consoles and those of guests' },
        slots.taken,
      ),
      ...queueFamilies([this.queue, ...queues]),
    ];
  }

  /** Counts an answer with metrics until its text was read to its end or returned. Call requireSpace() before. */
  counted(text: Generator<string, void, void>): Iterator<string, void, void> {
    let isOpen = true;
    const end = () => {
      if (isOpen) this.#answers -= 1;
      isOpen = false;
    };
    this.#answers += 1;
    return {
      next: () => {
        const next = text.next();
        if (next.done === true) end();
        return next;
      },
      return: () => {
        end();
        return text.return();
      },
    };
  }

  /** Throws OVERLOADED if too many answers with metrics are being made. */
  requireSpace(): void {
    if (this.#answers < LIMITS.metricsAnswersMax) return;
    const why = `At most ${LIMITS.metricsAnswersMax} answers with metrics are made at a time`;
    throw new VolantError('OVERLOADED', why, { retryAfterSeconds: 1 });
  }
}

function queueFamilies(queues: readonly Queue[]): readonly Family[] {
  const labels = ['queue'];
  const valuesOf = (value: (queue: Queue) => number) =>
    queues.map((queue) => [[queue.name], value(queue)] as const);
  return [
    gauge(
      { name: 'volant_queue_running', help: 'Units of the capacity that are in use', labels },
      valuesOf(({ running }) => running),
    ),
    gauge(
      {
        name: 'volant_queue_capacity',
        help: 'How many units may be in use at the same time',
        labels,
      },
      valuesOf(({ capacity }) => capacity),
    ),
    gauge(
      { name: 'volant_queue_waiting', help: 'How many wait for their turn', labels },
      valuesOf(({ waiting }) => waiting),
    ),
  ];
}
