import { spawnSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { cpus, totalmem } from "node:os"
import { parseArgs } from "node:util"
import { type HttpMeasured, measureHttp } from "./http.ts"
import { algorithms, startIssuer } from "./issuer.ts"
import { loopDelays, measure, type Measured, median, mustRefuse, type Scene, timesAsFast } from "./measure.ts"
import { measureOkta } from "./okta.ts"
import { bundleSizes, importTimes } from "./weight.ts"

const { values: { quick, write } } = parseArgs({
  options: { write: { type: "string" }, quick: { type: "boolean", default: false } }
})

// fast-jwt warns of every cache key of one's own, here the token itself, each time that a verifier is made.
process.removeAllListeners("warning")

const rounds = quick ? 3 : 21
const tokenCounts = { RS256: 2500, ES256: 1000 }

const row = (cells: ReadonlyArray<string | number>) => `| ${cells.join(" | ")} |`

const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string | number>>) =>
  [row(head), row(head.map((_, i) => i === 0 ? "---" : "---:")), ...rows.map(row)].join("\n")

const progress = (text: string) => process.stderr.write(`${text}\n`)

const verification = async (): Promise<string> => {
  const issuer = await startIssuer()
  const sections: Array<string> = []
  for (const algorithm of algorithms) {
    await mustRefuse(issuer, algorithm)
    const tokens = issuer.tokens(algorithm, tokenCounts[algorithm])
    for (const repeated of [false, true]) {
      for (const callers of [1, 32]) {
        progress(`${algorithm}, ${callers} at once, ${repeated ? "seen before" : "never seen"}`)
        const scene: Scene = { algorithm, callers, repeated, rounds }
        const measured = await measure(issuer, tokens, scene)
        const delays = callers > 1 && !repeated ? await loopDelays(issuer, tokens, algorithm) : undefined
        sections.push(`### ${title(scene)}\n\n${sceneTable(measured, delays)}`)
      }
    }
  }
  await issuer.close()
  return sections.join("\n\n")
}

const title = ({ algorithm, callers, repeated }: Scene) =>
  `${algorithm}, tokens ${repeated ? "seen before" : "never seen"}, ${
    callers === 1 ? "one caller" : `${callers} callers`
  }`

const sceneTable = (measured: ReadonlyArray<Measured>, delays: ReadonlyMap<string, number> | undefined) => {
  const [ours] = measured
  const head = ["", "µs per token", "tokens per second", "effect-okta is times as fast"]
  return table(
    delays === undefined ? head : [...head, "event loop p99, ms"],
    measured.map((one) => {
      const micros = median(one.micros)
      const delay = delays?.get(one.name)
      return [
        one.name,
        micros.toFixed(1),
        Math.round(1e6 / micros),
        timesAsFast(ours!, one).toFixed(2),
        ...(delays === undefined ? [] : [delay === undefined ? "" : delay.toFixed(1)])
      ]
    })
  )
}

const http = async (): Promise<string> => {
  progress("HTTP")
  const issuer = await startIssuer()
  const measured = await measureHttp(issuer, quick ? 1 : 5, quick ? 1 : 4)
  await issuer.close()
  const openOf = ({ server }: HttpMeasured) => measured.find((one) => one.server === server && one.route === "open")!
  const ours = ({ route }: HttpMeasured) => measured.find((one) => one.server === "effect-okta" && one.route === route)!
  return table(
    ["", "requests per second", "of the open route", "effect-okta is times as fast", "CPU µs per request", "p99, ms"],
    measured.toSorted((a, b) => a.server.localeCompare(b.server)).map((one) => [
      `${one.server === "express" ? "express, express-oauth2-jwt-bearer" : one.server}: ${one.route}`,
      Math.round(one.requestsPerSecond),
      (one.requestsPerSecond / openOf(one).requestsPerSecond).toFixed(2),
      (ours(one).requestsPerSecond / one.requestsPerSecond).toFixed(2),
      one.cpu.toFixed(0),
      one.p99.toFixed(1)
    ])
  )
}

const okta = async (): Promise<string> => {
  progress("Questions to Okta")
  const issuer = await startIssuer()
  const measured = await measureOkta(issuer, quick ? 3 : 11)
  await issuer.close()
  const [alone] = measured
  return table(
    ["", "first time, µs", "again, µs", "again, times as long as verified"],
    measured.map((
      { again, first, name }
    ) => [name, first.toFixed(0), again.toFixed(1), (again / alone!.again).toFixed(1)])
  )
}

const weight = async (): Promise<string> => {
  progress("Import times and bundle sizes")
  const times = await importTimes(quick ? 3 : 15)
  const sizes = await bundleSizes()
  return [
    table(["import", "ms"], times.map(({ millis, name }) => [name, millis.toFixed(0)])),
    table(
      ["minimal app in one file", "minified, KiB", "and gzipped, KiB"],
      sizes.map(({ gzipped, minified, name }) => [name, minified.toFixed(0), gzipped.toFixed(0)])
    )
  ].join("\n\n")
}

const versionOf = (name: string): string => {
  const folder = ["./node_modules/", "../../node_modules/"]
    .map((folder) => new URL(`${folder}${name}/package.json`, import.meta.url))
    .find((file) => existsSync(file))
  return folder === undefined ? "?" : JSON.parse(readFileSync(folder, "utf8")).version
}

const setting = (): string => {
  const names = [
    "effect",
    "@effect/platform-node",
    "jose",
    "fast-jwt",
    "aws-jwt-verify",
    "@okta/jwt-verifier",
    "express",
    "express-oauth2-jwt-bearer",
    "autocannon"
  ]
  return [
    `- Date: ${new Date().toISOString().slice(0, 10)}`,
    `- Machine: ${cpus()[0]?.model.trim()}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    `- Node ${process.versions.node}, OpenSSL ${process.versions.openssl}, thread pool of Node's default size (4)`,
    `- ${names.map((name) => `${name} ${versionOf(name)}`).join(", ")}`
  ].join("\n")
}

const document = `# Performance

Verifying an access token, beside other libraries, in one run on one machine. The last column of each table is what to
look at: absolute figures depend on the machine, the ratios much less.

${setting()}

To repeat it, in a clone of the repository (about six minutes; the machine should have nothing else to do):

\`\`\`sh
npm ci && npm run bench
npm run bench -- --write docs/performance.md
\`\`\`

## What is measured

- Every contestant gets each token as an HTTP server would: as a string of its own, so that nothing can be recognized by
  identity. All check signature, issuer, audience and times. The rows \`crypto.verify\` are Node's own primitive, a limit
  rather than a contestant: they cut off the signature, verify it and look at nothing else. With "bytes ready" even the
  cutting and decoding is done beforehand.
- effect-okta is called as \`TokenVerifier.verify\` in a fiber, with the settings of \`OktaAuth.layer\`.
- fast-jwt, aws-jwt-verify and the inline rows are synchronous: with 32 callers, they serve one after the other on one
  core, and nothing else gets its turn until all are done. "Event loop p99" is the 99th percentile of the time between two
  turns of a timer of one millisecond meanwhile.
- @okta/jwt-verifier verifies RS256 only.
- The contestants take turns, ${rounds} rounds, each with a new verifier that has warmed up on other tokens; times are the median of the rounds, ratios
  the median of the ratios of each round.

## Verification

${await verification()}

## Over HTTP

The same route, open and guarded, with a constant answer and logging off: 32 connections of autocannon on the same
machine, each waiting for its answer. The processor time is the server's own. Of the tokens never seen, there are more
than effect-okta remembers. With [DPoP](enterprise.md#sender-constrained-tokens) the tokens have been seen before as well, and each request has a proof of its own, by a
key of ES256: what comes on top is to verify it, and to remember that it was used.

${await http()}

## Questions to Okta

What [introspection](enterprise.md#revocation-checks) and [exchange](enterprise.md#calling-another-api) cost a token, RS256, 32 callers. The first time Okta is asked, here one on the
same machine that answers at once: verified here, then active by Okta's word, or exchanged for one token of another API. Again, within a minute, Okta's
answer is known, and neither asks for anything.

${await okta()}

## Weight

Import times in a fresh process, and the size of a minimal app for Node bundled by esbuild. What comes with Effect is
shared with the rest of an app of Effect's.

${await weight()}
`

console.log(document)
if (write !== undefined) {
  await writeFile(write, document)
  // Its tables in columns, as the linter wants them; elsewhere than among the docs there is nothing to do.
  spawnSync("dprint", ["fmt", "--allow-no-files", write], { stdio: "inherit" })
  progress(`Written to ${write}`)
}
process.exit(0)
