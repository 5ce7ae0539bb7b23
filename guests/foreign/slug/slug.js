// Makes slugs: a tool of the typed world, written in JavaScript.

const SCHEMA = {
  type: "object",
  properties: { text: { type: "string", description: "For example a title." } },
  required: ["text"],
  additionalProperties: false,
};

export const tool = {
  definitions() {
    const description = "Turns a text into a short name for an address: lower case, words joined by `-`.";
    return [{ name: "slug", description, inputSchema: JSON.stringify(SCHEMA) }];
  },

  call(_name, input) {
    const { text } = JSON.parse(input);
    const slug = text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
    if (slug === "") {
      throw { tag: "rejected", val: `nothing of ${JSON.stringify(text)} can stand in a slug` };
    }
    return { text: slug, summary: `${slug.length} characters` };
  },
};
