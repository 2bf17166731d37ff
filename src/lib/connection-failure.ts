// lib: why a server could not be asked, in words for a person, and whether asking again can help. Pure. Texts of
// libraries are for those who build them: lines of their sources are in no message of ours.

export interface ConnectionProblem {
  readonly message: string;
  /** It will be the same the next time. */
  readonly isFinal: boolean;
  /** What came was packed wrongly: it shows only in the middle of an answer, and is final there, too. */
  readonly isOfPacking: boolean;
}

const UNTRUSTED =
  'its certificate is signed by nobody who is trusted here; VOLANT_CA_FILE can name an authority';

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

/** Failures of OpenSSL that are no matter of the moment. */
const NOT_TLS = /wrong version number|http request|packet length too long|record layer failure/i;

/** Thrown for what no further try can change. */
export class FinalFailure extends Error {
  override readonly name = 'FinalFailure';
}

/** What an error of a connection means. One for several addresses means what its first one means. */
export function connectionProblem(thrown: unknown): ConnectionProblem {
  const error = thrown instanceof AggregateError ? thrown.errors[0] : thrown;
  if (!(error instanceof Error)) return passing(String(error));
  const { code = '' } = error as NodeJS.ErrnoException;
  if (error instanceof FinalFailure) return { ...final(error.message), isOfPacking: true };
  if (/^Z_|^ERR__ERROR_/.test(code)) {
    return { ...final('what the server has packed cannot be unpacked'), isOfPacking: true };
  }
  if (code.startsWith('HPE_')) return final('the server does not answer as HTTP does');
  const certificate = CERTIFICATE[code];
  if (certificate !== undefined) return final(certificate);
  return tlsProblem(error, code) ?? passing(error.message || code);
}

function tlsProblem(error: Error, code: string): ConnectionProblem | null {
  // EPROTO is what a failed handshake is called, too; its message is OpenSSL's own.
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

/** Of `error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../a.c:1:` the reason. */
function reasonIn(message: string): string | null {
  return /SSL routines:[^:]*:([^:]+)/.exec(message)?.[1] ?? null;
}
