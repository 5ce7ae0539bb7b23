// Makes a component of a JavaScript module: node build.mjs SOURCE WIT OUTPUT

import { readFile, writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const [source, witPath, output] = process.argv.slice(2);
// What the tool does not use it does not import, so that its manifest need not request it.
const disableFeatures = ["stdio", "random", "clocks", "http", "fetch-event"];
const { component } = await componentize(await readFile(source, "utf8"), {
  witPath,
  worldName: "tool-guest",
  disableFeatures,
});
await writeFile(output, component);
