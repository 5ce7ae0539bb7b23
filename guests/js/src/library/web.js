(function (native) {
  "use strict";

  const bytesOf = (input) => {
    if (input === undefined) return new Uint8Array();
    if (ArrayBuffer.isView(input)) return new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
    if (input instanceof ArrayBuffer) return new Uint8Array(input);
    throw new TypeError("the input is neither an ArrayBuffer nor a view of one");
  };

  class TextEncoder {
    get encoding() { return "utf-8"; }
    encode(input = "") { return native.encode(String(input), "utf8"); }
    encodeInto(source, target) {
      let read = 0;
      let written = 0;
      for (const letter of String(source)) {
        const bytes = native.encode(letter, "utf8");
        if (written + bytes.length > target.length) break;
        target.set(bytes, written);
        written += bytes.length;
        read += letter.length;
      }
      return { read, written };
    }
  }

  class TextDecoder {
    #fatal;
    #keepMark;
    #rest = new Uint8Array();
    #started = false;
    constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
      if (!["utf-8", "utf8", "unicode-1-1-utf-8"].includes(String(label).trim().toLowerCase())) {
        throw new RangeError(`The encoding label ${label} is not supported; only UTF-8 is`);
      }
      this.#fatal = Boolean(fatal);
      this.#keepMark = Boolean(ignoreBOM);
    }
    get encoding() { return "utf-8"; }
    get fatal() { return this.#fatal; }
    get ignoreBOM() { return this.#keepMark; }
    decode(input, { stream = false } = {}) {
      const added = bytesOf(input);
      const bytes = new Uint8Array(this.#rest.length + added.length);
      bytes.set(this.#rest);
      bytes.set(added, this.#rest.length);
      const [text, used] = native.decodeUtf8(bytes, this.#fatal, Boolean(stream));
      const shown = !this.#started && !this.#keepMark && text.startsWith("\uFEFF") ? text.slice(1) : text;
      this.#rest = stream ? bytes.slice(used) : new Uint8Array();
      this.#started = stream && (this.#started || text !== "");
      return shown;
    }
  }

  class DOMException extends Error {
    #name;
    constructor(message = "", name = "Error") {
      super(message);
      this.#name = String(name);
    }
    get name() { return this.#name; }
  }

  const uncloneable = (value) => new DOMException(`${typeof value === "symbol" ? String(value) : value} could not be cloned.`, "DataCloneError");

  const errors = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

  const cloneOf = (value, seen) => {
    if (typeof value === "function" || typeof value === "symbol") throw uncloneable(value);
    if (typeof value !== "object" || value === null) return value;
    if (seen.has(value)) return seen.get(value);
    const keep = (copy) => (seen.set(value, copy), copy);
    if (value instanceof Date) return keep(new Date(value));
    if (value instanceof RegExp) return keep(new RegExp(value.source, value.flags));
    if (value instanceof ArrayBuffer) return keep(value.slice());
    if (value instanceof DataView) return keep(new DataView(cloneOf(value.buffer, seen), value.byteOffset, value.byteLength));
    if (ArrayBuffer.isView(value)) return keep(new value.constructor(cloneOf(value.buffer, seen), value.byteOffset, value.length));
    if (value instanceof Boolean || value instanceof Number || value instanceof String) return keep(Object(value.valueOf()));
    if (value instanceof Map) {
      const copy = keep(new Map());
      for (const [key, inner] of [...value]) copy.set(cloneOf(key, seen), cloneOf(inner, seen));
      return copy;
    }
    if (value instanceof Set) {
      const copy = keep(new Set());
      for (const inner of [...value]) copy.add(cloneOf(inner, seen));
      return copy;
    }
    if (value instanceof Error) {
      const copy = keep(new (errors[value.name] ?? Error)(value.message));
      Object.defineProperty(copy, "stack", { value: value.stack, writable: true, configurable: true });
      if (Object.hasOwn(value, "cause")) copy.cause = cloneOf(value.cause, seen);
      return copy;
    }
    if (value instanceof Promise || value instanceof WeakMap || value instanceof WeakSet || value instanceof WeakRef) {
      throw uncloneable(Object.prototype.toString.call(value));
    }
    const copy = keep(Array.isArray(value) ? new Array(value.length) : {});
    for (const key of Object.keys(value)) copy[key] = cloneOf(value[key], seen);
    return copy;
  };

  const structuredClone = (value) => cloneOf(value, new Map());

  const invalid = (what) => new DOMException(what, "InvalidCharacterError");

  const btoa = (text) => {
    const encoded = native.toBase64(String(text));
    if (encoded === null) throw invalid("The string contains characters outside of Latin-1.");
    return encoded;
  };

  const atob = (text) => {
    const decoded = native.fromBase64(String(text));
    if (decoded === null) throw invalid("The string is not correctly encoded.");
    return decoded;
  };

  class URLSearchParams {
    #pairs = [];
    #changed = () => {};
    constructor(init = "") {
      if (typeof init !== "object" || init === null) this.#pairs = native.parseQuery(String(init).replace(/^\?/, ""));
      else if (typeof init[Symbol.iterator] === "function") this.#pairs = Array.from(init, ([name, value]) => [String(name), String(value)]);
      else this.#pairs = Object.entries(init).map(([name, value]) => [name, String(value)]);
    }
    static of(query, changed) {
      const params = new URLSearchParams(query);
      params.#changed = changed;
      return params;
    }
    static replace(params, query) { params.#pairs = native.parseQuery(query.replace(/^\?/, "")); }
    get size() { return this.#pairs.length; }
    append(name, value) { this.#pairs.push([String(name), String(value)]); this.#changed(); }
    delete(name, value) {
      this.#pairs = this.#pairs.filter(([other, inner]) => other !== String(name) || (value !== undefined && inner !== String(value)));
      this.#changed();
    }
    get(name) { return this.#pairs.find(([other]) => other === String(name))?.[1] ?? null; }
    getAll(name) { return this.#pairs.filter(([other]) => other === String(name)).map(([, value]) => value); }
    has(name, value) {
      return this.#pairs.some(([other, inner]) => other === String(name) && (value === undefined || inner === String(value)));
    }
    set(name, value) {
      const first = this.#pairs.findIndex(([other]) => other === String(name));
      if (first < 0) return this.append(name, value);
      this.#pairs[first][1] = String(value);
      this.#pairs = this.#pairs.filter(([other], index) => index <= first || other !== String(name));
      this.#changed();
    }
    sort() { this.#pairs.sort(([a], [b]) => (a < b ? -1 : Number(a > b))); this.#changed(); }
    forEach(callback, self) { for (const [name, value] of this) callback.call(self, value, name, this); }
    *entries() { for (const [name, value] of this.#pairs) yield [name, value]; }
    *keys() { for (const [name] of this.#pairs) yield name; }
    *values() { for (const [, value] of this.#pairs) yield value; }
    [Symbol.iterator]() { return this.entries(); }
    toString() { return native.formatQuery(this.#pairs); }
    get [Symbol.toStringTag]() { return "URLSearchParams"; }
  }

  class URL {
    #parts;
    #params;
    constructor(url, base) {
      this.#parts = native.parseUrl(String(url), base === undefined ? undefined : String(base));
      if (this.#parts === null) {
        const error = new TypeError(`Invalid URL: ${url}`);
        error.code = "ERR_INVALID_URL";
        throw error;
      }
      this.#params = URLSearchParams.of(this.search, () => this.#set("search", this.#params.toString(), true));
    }
    static canParse(url, base) { return native.parseUrl(String(url), base === undefined ? undefined : String(base)) !== null; }
    static parse(url, base) { return URL.canParse(url, base) ? new URL(url, base) : null; }
    #set(part, value, own = false) {
      this.#parts = native.setUrl(this.#parts.href, part, String(value)) ?? this.#parts;
      if (!own) URLSearchParams.replace(this.#params, this.search);
    }
    get href() { return this.#parts.href; }
    set href(value) { this.#parts = new URL(value).#parts; URLSearchParams.replace(this.#params, this.search); }
    get origin() { return this.#parts.origin; }
    get protocol() { return this.#parts.protocol; }
    set protocol(value) { this.#set("protocol", value); }
    get username() { return this.#parts.username; }
    set username(value) { this.#set("username", value); }
    get password() { return this.#parts.password; }
    set password(value) { this.#set("password", value); }
    get host() { return this.#parts.host; }
    set host(value) { this.#set("host", value); }
    get hostname() { return this.#parts.hostname; }
    set hostname(value) { this.#set("hostname", value); }
    get port() { return this.#parts.port; }
    set port(value) { this.#set("port", value); }
    get pathname() { return this.#parts.pathname; }
    set pathname(value) { this.#set("pathname", value); }
    get search() { return this.#parts.search; }
    set search(value) { this.#set("search", value); }
    get hash() { return this.#parts.hash; }
    set hash(value) { this.#set("hash", value); }
    get searchParams() { return this.#params; }
    toString() { return this.href; }
    toJSON() { return this.href; }
    get [Symbol.toStringTag]() { return "URL"; }
  }

  return { TextEncoder, TextDecoder, DOMException, structuredClone, btoa, atob, URL, URLSearchParams };
})
