import { declareValuePlugin, PluginKind } from "@stryker-mutator/api/plugin"

/** Three words or more are for people, and may change: no test holds on to them. */
const isProse = (text) => text.trim().split(/\s+/).length > 2

/** Leaves out mutants of such texts. */
export const strykerPlugins = [
  declareValuePlugin(PluginKind.Ignore, "prose", {
    shouldIgnore: ({ node }) =>
      node.type === "StringLiteral" && isProse(node.value) ||
        node.type === "TemplateLiteral" && isProse(node.quasis.map(({ value }) => value.raw).join("x"))
        ? "a text for people"
        : undefined
  })
]
