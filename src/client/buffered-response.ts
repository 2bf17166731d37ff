// client: an answer whose body has arrived as a whole. Reading it as text makes no stream, unlike that of Response.

const decoder = new TextDecoder();

/** Has every member of a Response. Only what the client uses most is done here; the rest is done by a Response of its own. */
export class BufferedResponse implements Response {
  readonly redirected = false;
  readonly statusText = '';
  readonly type = 'default';
  readonly url = '';
  readonly status: number;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #headers: () => Headers;
  #madeHeaders: Headers | undefined;
  #full: Response | undefined;
  #isUsed = false;

  constructor(bytes: Uint8Array<ArrayBuffer>, status: number, headers: () => Headers) {
    this.#bytes = bytes;
    this.status = status;
    this.#headers = headers;
  }

  get headers(): Headers {
    this.#madeHeaders ??= this.#headers();
    return this.#madeHeaders;
  }

  get ok(): boolean {
    return this.status >= 200 && this.status < 300;
  }

  get body() {
    return this.#response().body;
  }

  get bodyUsed(): boolean {
    return this.#full?.bodyUsed ?? this.#isUsed;
  }

  text(): Promise<string> {
    if (this.#full !== undefined || this.#isUsed) return this.#response().text();
    this.#isUsed = true;
    return Promise.resolve(decoder.decode(this.#bytes));
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await this.arrayBuffer());
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#response().arrayBuffer();
  }

  blob(): Promise<Blob> {
    return this.#response().blob();
  }

  formData(): Promise<FormData> {
    return this.#response().formData();
  }

  clone(): Response {
    return this.#response().clone();
  }

  /** Made when it is needed. Once the text was taken, its body is used, too, and reading it again fails as always. */
  #response(): Response {
    if (this.#full === undefined) {
      this.#full = new Response(this.#bytes, this);
      if (this.#isUsed) void this.#full.text();
    }
    return this.#full;
  }
}
