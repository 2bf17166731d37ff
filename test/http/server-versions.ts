// test, http: what the HTTP server's binaries answer differently, by the version of Node that they are for.
// docs/systems.md tells users the same.

const NODE_MAJOR = Number(process.versions.node.split('.')[0]);

/** An answer's status, or that the connection is ended after a while without one. */
export type Outcome = number | 'silence';

/** What depends on the binary. */
export interface ServerDifferences {
  /** A request line that comes in two TCP segments, divided behind the method. */
  readonly dividedRequestLine: Outcome;
  /** `GET` and nothing else. */
  readonly methodAlone: Outcome;
  readonly withoutHost: Outcome;
  readonly foldedHeader: Outcome;
  readonly blankInHeaderName: Outcome;
  readonly twoHosts: Outcome;
  /** A header name with `_` or `.`. */
  readonly unusualHeaderName: Outcome;
  /** 200 headers. */
  readonly manyHeaders: Outcome;
  /** A head of 5 kB that comes in one segment. */
  readonly largeHead: Outcome;
}

const BEFORE_22: ServerDifferences = {
  dividedRequestLine: 505,
  methodAlone: 505,
  withoutHost: 'silence',
  foldedHeader: 'silence',
  blankInHeaderName: 'silence',
  twoHosts: 200,
  unusualHeaderName: 'silence',
  manyHeaders: 'silence',
  largeHead: 200,
};

const SINCE_22: ServerDifferences = {
  dividedRequestLine: 200,
  methodAlone: 'silence',
  withoutHost: 400,
  foldedHeader: 400,
  blankInHeaderName: 400,
  twoHosts: 400,
  unusualHeaderName: 200,
  manyHeaders: 431,
  largeHead: 431,
};

/** What is to be expected here. */
export const SERVER = NODE_MAJOR < 22 ? BEFORE_22 : SINCE_22;
