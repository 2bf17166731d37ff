// jobs, images, tar: the error of a stream that is not tar.

/** A stream that is not tar, or has something that no image may have. The message is the end of a sentence. */
export class TarInvalid extends Error {
  override readonly name = 'TarInvalid';
}
