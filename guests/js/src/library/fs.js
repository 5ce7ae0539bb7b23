(function (native) {
  "use strict";

  const encodingOf = (options) => {
    const encoding = typeof options === "string" ? options : options?.encoding;
    return encoding == null || encoding === "buffer" ? undefined : String(encoding);
  };

  const located = (path) => {
    if (path instanceof Uint8Array) return native.decode(path, "utf8");
    if (typeof path === "object" && path?.protocol === "file:") return decodeURIComponent(path.pathname);
    if (typeof path === "string") return path;
    const error = new TypeError(`The "path" argument must be of type string or an instance of URL. Received ${typeof path}`);
    error.code = "ERR_INVALID_ARG_TYPE";
    throw error;
  };

  const bytesOf = (data, options) => {
    if (typeof data === "string") return native.encode(data, encodingOf(options) ?? "utf8");
    if (data instanceof Uint8Array) return data;
    if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    if (data instanceof ArrayBuffer) return new Uint8Array(data);
    const error = new TypeError(`The "data" argument must be a string, an ArrayBuffer or a view of one. Received ${typeof data}`);
    error.code = "ERR_INVALID_ARG_TYPE";
    throw error;
  };

  class Kind {
    #kind;
    constructor(kind) { this.#kind = kind; }
    isFile() { return this.#kind === "file"; }
    isDirectory() { return this.#kind === "directory"; }
    isSymbolicLink() { return this.#kind === "link"; }
    isFIFO() { return false; }
    isSocket() { return false; }
    isBlockDevice() { return false; }
    isCharacterDevice() { return false; }
  }

  class Stats extends Kind {
    constructor([kind, size, atimeMs, mtimeMs, birthtimeMs]) {
      super(kind);
      Object.assign(this, { size, atimeMs, mtimeMs, ctimeMs: mtimeMs, birthtimeMs });
      Object.assign(this, { atime: new Date(atimeMs), mtime: new Date(mtimeMs), ctime: new Date(mtimeMs), birthtime: new Date(birthtimeMs) });
    }
  }

  class Dirent extends Kind {
    constructor(name, parentPath, kind) {
      super(kind);
      this.name = name;
      this.parentPath = parentPath;
    }
  }

  const statOf = (path, options, follow) => {
    try {
      return new Stats(native.stat(located(path), follow));
    } catch (error) {
      if (options?.throwIfNoEntry === false && error.code === "ENOENT") return undefined;
      throw error;
    }
  };

  const listed = (folder, prefix, recursive, found) => {
    for (const [name, kind] of native.list(folder)) {
      found.push([prefix + name, folder, name, kind]);
      if (recursive && kind === "directory") listed(`${folder}/${name}`, `${prefix}${name}/`, true, found);
    }
    return found;
  };

  const sync = {
    readFileSync(path, options) {
      const bytes = native.read(located(path));
      const encoding = encodingOf(options);
      return encoding ? native.decode(bytes, encoding) : bytes;
    },
    writeFileSync(path, data, options) { native.write(located(path), bytesOf(data, options), options?.flag ?? "w"); },
    appendFileSync(path, data, options) { native.write(located(path), bytesOf(data, options), "a"); },
    readdirSync(path, options) {
      const found = listed(located(path), "", options?.recursive === true, []);
      return options?.withFileTypes
        ? found.map(([, folder, name, kind]) => new Dirent(name, folder, kind))
        : found.map(([name]) => name);
    },
    statSync(path, options) { return statOf(path, options, true); },
    lstatSync(path, options) { return statOf(path, options, false); },
    accessSync(path) { native.access(located(path)); },
    mkdirSync(path, options) { native.mkdir(located(path), options?.recursive === true); },
    rmSync(path, options) { native.rm(located(path), options?.recursive === true, options?.force === true); },
    rmdirSync(path) { native.rmdir(located(path)); },
    unlinkSync(path) { native.unlink(located(path)); },
    renameSync(from, to) { native.rename(located(from), located(to)); },
    copyFileSync(from, to) { native.copy(located(from), located(to)); },
  };

  const promises = {};
  for (const [name, operate] of Object.entries(sync)) {
    promises[name.slice(0, -"Sync".length)] = async (...values) => operate(...values);
  }

  const existsSync = (path) => {
    try {
      native.access(located(path));
      return true;
    } catch {
      return false;
    }
  };

  return { ...sync, existsSync, promises };
})
