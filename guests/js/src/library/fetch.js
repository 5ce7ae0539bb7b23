(function (native) {
  "use strict";

  class Headers {
    #pairs = [];
    constructor(init = []) {
      const pairs = typeof init[Symbol.iterator] === "function" ? init : Object.entries(init);
      for (const [name, value] of pairs) this.append(name, value);
    }
    append(name, value) { this.#pairs.push([String(name).toLowerCase(), String(value).trim()]); }
    delete(name) { this.#pairs = this.#pairs.filter(([other]) => other !== String(name).toLowerCase()); }
    get(name) {
      const values = this.#pairs.filter(([other]) => other === String(name).toLowerCase()).map(([, value]) => value);
      return values.length === 0 ? null : values.join(", ");
    }
    getSetCookie() { return this.#pairs.filter(([name]) => name === "set-cookie").map(([, value]) => value); }
    has(name) { return this.get(name) !== null; }
    set(name, value) { this.delete(name); this.append(name, value); }
    forEach(callback, self) { for (const [name, value] of this) callback.call(self, value, name, this); }
    *entries() {
      for (const name of [...new Set(this.#pairs.map(([name]) => name))].sort()) {
        if (name !== "set-cookie") yield [name, this.get(name)];
        else for (const value of this.getSetCookie()) yield [name, value];
      }
    }
    *keys() { for (const [name] of this) yield name; }
    *values() { for (const [, value] of this) yield value; }
    [Symbol.iterator]() { return this.entries(); }
    get [Symbol.toStringTag]() { return "Headers"; }
  }

  const FORM = "application/x-www-form-urlencoded;charset=UTF-8";

  // The bytes of what a program gives as a body, and the type that they have by themselves.
  const content = (body) => {
    if (body === undefined || body === null) return [null, null];
    if (body instanceof ArrayBuffer) return [new Uint8Array(body.slice()), null];
    if (ArrayBuffer.isView(body)) return [new Uint8Array(body.buffer, body.byteOffset, body.byteLength).slice(), null];
    const isForm = Object.prototype.toString.call(body) === "[object URLSearchParams]";
    return [native.encode(String(body), "utf8"), isForm ? FORM : "text/plain;charset=UTF-8"];
  };

  class Body {
    #bytes;
    #used = false;
    constructor(bytes) { this.#bytes = bytes; }
    get bodyUsed() { return this.#used; }
    async bytes() {
      if (this.#used) throw new TypeError("the body was read before");
      this.#used = this.#bytes !== null;
      return this.#bytes ?? new Uint8Array();
    }
    async arrayBuffer() { return (await this.bytes()).buffer; }
    async text() { return native.decodeUtf8(await this.bytes(), false, false)[0].replace(/^\uFEFF/, ""); }
    async json() { return JSON.parse(await this.text()); }
    static peek(body) {
      if (body.#used) throw new TypeError("the body was read before");
      return body.#bytes;
    }
  }

  class Request extends Body {
    constructor(input, init = {}) {
      const from = input instanceof Request ? input : null;
      const method = String(init.method ?? from?.method ?? "GET");
      const [bytes, type] = init.body === undefined && from ? [Body.peek(from), null] : content(init.body);
      super(bytes);
      this.method = ["delete", "get", "head", "options", "post", "put"].includes(method.toLowerCase()) ? method.toUpperCase() : method;
      if (bytes !== null && ["GET", "HEAD"].includes(this.method)) throw new TypeError(`a ${this.method} request has no body`);
      this.url = from ? from.url : new URL(input).href;
      this.headers = new Headers(init.headers ?? from?.headers);
      this.redirect = String(init.redirect ?? from?.redirect ?? "follow");
      if (!["error", "follow", "manual"].includes(this.redirect)) throw new TypeError(`redirect is "error", "follow" or "manual", not "${this.redirect}"`);
      if (type !== null && !this.headers.has("content-type")) this.headers.set("content-type", type);
    }
    clone() { return new Request(this); }
    get [Symbol.toStringTag]() { return "Request"; }
  }

  class Response extends Body {
    #url = "";
    #redirected = false;
    constructor(body, { status = 200, statusText = "", headers } = {}) {
      const [bytes, type] = content(body);
      super(bytes);
      this.status = Number(status);
      this.statusText = String(statusText);
      this.headers = new Headers(headers);
      if (type !== null && !this.headers.has("content-type")) this.headers.set("content-type", type);
    }
    static answered({ status, headers, body, url, redirected }) {
      const response = new Response(body, { status, headers });
      response.#url = url;
      response.#redirected = redirected;
      return response;
    }
    static json(value, init = {}) {
      const headers = new Headers(init.headers);
      if (!headers.has("content-type")) headers.set("content-type", "application/json");
      return new Response(JSON.stringify(value), { ...init, headers });
    }
    get ok() { return this.status >= 200 && this.status <= 299; }
    get url() { return this.#url; }
    get redirected() { return this.#redirected; }
    clone() {
      const copy = new Response(Body.peek(this), this);
      copy.#url = this.#url;
      copy.#redirected = this.#redirected;
      return copy;
    }
    get [Symbol.toStringTag]() { return "Response"; }
  }

  const fetch = async (input, init) => {
    const request = new Request(input, init);
    const body = await request.bytes();
    return Response.answered(native.request(request.method, request.url, [...request.headers], body, request.redirect));
  };

  return { fetch, Headers, Request, Response };
})
