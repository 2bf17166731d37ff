// lib, net: describes for a person why a connection to a server failed, and whether a retry can help. Pure. Messages
// of libraries that refer to their sources are replaced.

export interface ConnectionProblem {
  readonly message: string;
  /** A retry would fail in the same way. */
  readonly isFinal: boolean;
  /** The compressed body is invalid. This shows only in the middle of an answer, and is final there, too. */
  readonly isOfPacking: boolean;
}

const UNTRUSTED =
  'its certificate is not signed by a trusted authority; VOLANT_CA_FILE can name one';

const CERTIFICATE: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: UNTRUSTED,
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNTRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNTRUSTED,
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet, or the clock of this host is wrong',
  CERT_REVOKED: 'its certificate was revoked',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for other names',
};

/** Errors of OpenSSL that are not temporary. */
const NOT_TLS = /wrong version number|http request|packet length too long|record layer failure/i;

/** Thrown for an error that no retry can change. */
export class FinalFailure extends Error {
  override readonly name = 'FinalFailure';
}

/** Describes an error of a connection. An error for several addresses is described by its first one. */
export function connectionProblem(thrown: unknown): ConnectionProblem {
  const error = thrown instanceof AggregateError ? thrown.errors[0] : thrown;
  if (!(error instanceof Error)) return passing(String(error));
  const { code = '' } = error as NodeJS.ErrnoException;
  if (error instanceof FinalFailure) return { ...final(error.message), isOfPacking: true };
  if (/^Z_|^ERR__ERROR_/.test(code)) {
    return { ...final('the answer cannot be decompressed'), isOfPacking: true };
  }
  if (code.startsWith('HPE_')) return final('the server does not answer as HTTP does');
  const certificate = CERTIFICATE[code];
  if (certificate !== undefined) return final(certificate);
  // Node's own words for it are "aborted" and "socket hang up".
  if (code === 'ECONNRESET') return passing('the connection broke before all data had arrived');
  return tlsProblem(error, code) ?? passing(error.message || code);
}

function tlsProblem(error: Error, code: string): ConnectionProblem | null {
  // A failed handshake is also called EPROTO, with OpenSSL's message.
  const isTls = /^(ERR_SSL|CERT)_/.test(code) || error.message.includes('SSL routines');
  if (!isTls) return null;
  const { reason = reasonIn(error.message) ?? code } = error as { reason?: string };
  if (NOT_TLS.test(reason)) return final('the server does not speak TLS at this port');
  return final(`TLS failed: ${reason}`);
}

function final(message: string): ConnectionProblem {
  return { message, isFinal: true, isOfPacking: false };
}

function passing(message: string): ConnectionProblem {
  return { message, isFinal: false, isOfPacking: false };
}

/** Returns the reason in `error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../a.c:1:`. */
function reasonIn(message: string): string | null {
  return /SSL routines:[^:]*:([^:]+)/.exec(message)?.[1] ?? null;
}
