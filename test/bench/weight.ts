import { build } from "esbuild"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { gzipSync } from "node:zlib"
import { median } from "./measure.ts"

const run = promisify(execFile)
const here = fileURLToPath(new URL(".", import.meta.url))
const built = new URL("../../dist/index.js", import.meta.url)

/** Modules to import, and those that the app has imported already. */
const imports: ReadonlyArray<
  { readonly name: string; readonly module: string; readonly after?: ReadonlyArray<string> }
> = [
  { name: "effect-okta", module: built.href },
  {
    name: "effect-okta, in an app of Effect's",
    module: built.href,
    after: ["effect", "effect/http", "effect/http-api", "@effect/platform-node"]
  },
  { name: "@okta/jwt-verifier", module: "@okta/jwt-verifier" },
  { name: "aws-jwt-verify", module: "aws-jwt-verify" }
]

/** Milliseconds that an import takes in a fresh process, the median of several, taking turns. */
export const importTimes = async (rounds: number) => {
  const table = imports.map((entry) => ({ ...entry, millis: new Array<number>() }))
  for (let round = -1; round < rounds; round++) {
    for (const { after = [], millis, module } of table) {
      const code = `for (const name of ${JSON.stringify(after)}) await import(name)
const start = performance.now(); await import(${JSON.stringify(module)}); console.log(performance.now() - start)`
      const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", code], { cwd: here })
      if (round >= 0) millis.push(Number(stdout))
    }
  }
  return table.map(({ millis, name }) => ({ name, millis: median(millis) }))
}

/** The least that an app writes to verify tokens. */
const apps: ReadonlyArray<{ readonly name: string; readonly code: string; readonly external?: ReadonlyArray<string> }> =
  [
    {
      name: "effect-okta, without Effect",
      code: `export { OktaAuth, CurrentPrincipal } from "effect-okta"`,
      external: ["effect", "@effect/platform-node"]
    },
    { name: "effect-okta, with Effect", code: `export { OktaAuth, CurrentPrincipal } from "effect-okta"` },
    { name: "@okta/jwt-verifier", code: `export { default } from "@okta/jwt-verifier"` },
    { name: "aws-jwt-verify", code: `export { JwtVerifier } from "aws-jwt-verify"` }
  ]

/** Size of a minimal app in one file for Node, minified, in KiB, and compressed. */
export const bundleSizes = () =>
  Promise.all(apps.map(async ({ code, external = [], name }) => {
    const { outputFiles: [file] } = await build({
      stdin: { contents: code, resolveDir: here },
      alias: { "effect-okta": fileURLToPath(built) },
      external: [...external],
      bundle: true,
      minify: true,
      write: false,
      platform: "node",
      format: "esm",
      logLevel: "error"
    })
    const bytes = file!.contents
    return { name, minified: bytes.length / 1024, gzipped: gzipSync(bytes).length / 1024 }
  }))
