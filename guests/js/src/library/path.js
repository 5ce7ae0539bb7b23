(function (native) {
  "use strict";

  const text = (value, name = "path") => {
    if (typeof value === "string") return value;
    const error = new TypeError(`The "${name}" argument must be of type string. Received ${value === null ? "null" : typeof value}`);
    error.code = "ERR_INVALID_ARG_TYPE";
    throw error;
  };

  // Returns the parts without `.`, and without `..` wherever there is something to leave.
  const settled = (path, absolute) => {
    const parts = [];
    for (const part of path.split("/")) {
      if (part === "" || part === ".") continue;
      if (part !== "..") parts.push(part);
      else if (parts.length > 0 && parts.at(-1) !== "..") parts.pop();
      else if (!absolute) parts.push(part);
    }
    return parts.join("/");
  };

  const isAbsolute = (path) => text(path).startsWith("/");

  const normalize = (path) => {
    if (text(path) === "") return ".";
    const absolute = isAbsolute(path);
    let inner = settled(path, absolute);
    if (inner === "" && !absolute) inner = ".";
    if (inner !== "" && path.endsWith("/")) inner += "/";
    return (absolute ? "/" : "") + inner;
  };

  const join = (...paths) => {
    const joined = paths.filter((path) => text(path) !== "").join("/");
    return joined === "" ? "." : normalize(joined);
  };

  const resolve = (...paths) => {
    let resolved = "";
    for (const path of [native.cwd(), ...paths]) {
      if (text(path) !== "") resolved = isAbsolute(path) ? path : `${resolved}/${path}`;
    }
    return "/" + settled(resolved, true);
  };

  const relative = (from, to) => {
    const [origin, target] = [from, to].map((path) => resolve(text(path)).split("/").filter(Boolean));
    let shared = 0;
    while (shared < origin.length && shared < target.length && origin[shared] === target[shared]) shared += 1;
    return [...origin.slice(shared).map(() => ".."), ...target.slice(shared)].join("/");
  };

  // Returns the path without slashes at its end; the root stays.
  const trimmed = (path) => (text(path).length > 1 ? path.replace(/\/+$/, "") || "/" : path);

  const dirname = (path) => {
    const whole = trimmed(path);
    const slash = whole.lastIndexOf("/");
    if (slash < 0) return ".";
    return slash === 0 ? "/" : trimmed(whole.slice(0, slash));
  };

  const basename = (path, suffix = "") => {
    const whole = trimmed(path);
    const name = whole.slice(whole.lastIndexOf("/") + 1);
    return name !== suffix && name.endsWith(text(suffix, "suffix")) ? name.slice(0, name.length - suffix.length) : name;
  };

  const extname = (path) => {
    const name = basename(path);
    const dot = name.lastIndexOf(".");
    return dot > 0 && name !== ".." ? name.slice(dot) : "";
  };

  const parse = (path) => {
    const root = isAbsolute(path) ? "/" : "";
    const base = basename(path);
    const ext = extname(path);
    const dir = dirname(path) === "." && !path.startsWith(".") ? "" : dirname(path);
    return { root, dir: path === "" ? "" : dir, base, ext, name: base.slice(0, base.length - ext.length) };
  };

  const format = ({ root = "", dir, base, name = "", ext = "" }) => {
    const file = base ?? name + (ext === "" || ext.startsWith(".") ? ext : `.${ext}`);
    if (dir === undefined || dir === "") return root + file;
    return dir === root ? dir + file : `${dir}/${file}`;
  };

  const path = { basename, delimiter: ":", dirname, extname, format, isAbsolute, join, normalize, parse, relative, resolve, sep: "/" };
  return Object.assign(path, { posix: path });
})
