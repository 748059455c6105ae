import { Schema } from "effect"
import { createRequire } from "node:module"

const Manifest = Schema.Struct({ version: Schema.String })

/** The version of this package. */
export const { version } = Schema.decodeUnknownSync(Manifest)(createRequire(import.meta.url)("../../package.json"))
