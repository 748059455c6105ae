import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { writeFileSync } from "node:fs"
import { webClient } from "../../../src/demo/StandInDirectory.ts"
import { newFolder } from "../../store/StoreFile.ts"
import { OktaStandIn } from "../../support/OktaStandIn.ts"
import { assertHidden, partsOf } from "../../support/Watch.ts"
import { type CommandOptions, run } from "../Command.ts"
import { httpServer, tunnel } from "../Serving.ts"
import { clientSecret, encryptionSecret, make, signingKeys } from "./ProxyPatient.ts"

const Printed = Schema.fromJsonString(Schema.Struct({
  ok: Schema.Boolean,
  checks: Schema.Array(Schema.Struct({
    check: Schema.String,
    outcome: Schema.Literals(["ok", "warning", "failed", "skipped"]),
    tried: Schema.String,
    found: Schema.String,
    meaning: Schema.optionalKey(Schema.String),
    mend: Schema.optionalKey(Schema.String)
  }))
}))

/** What the command prints as JSON, which has this form and no other. */
const printed = Schema.decodeUnknownSync(Printed, { onExcessProperty: "error" })

const doctor = (args: ReadonlyArray<string>, options: CommandOptions) => run(["doctor", ...args], options)

const native = Effect.gen(function*() {
  const okta = yield* OktaStandIn.make()
  return { okta, env: { OKTA_ISSUER: okta.issuer, OKTA_AUDIENCE: okta.audience } }
})

const privateHalf = (ring: string): string => JSON.parse(ring).keys[0].d

// A process takes its time to start on a busy machine.
describe("effect-okta doctor, as a command", { timeout: 60_000 }, () => {
  it.live("all in order ends with 0, also through the public URL", () =>
    Effect.gen(function*() {
      const { environment, serve } = yield* make()
      yield* serve()
      const { exitCode, stderr, stdout } = yield* doctor([], { env: environment })
      assert.strictEqual(stderr, "")
      assert.strictEqual(exitCode, 0, stdout)
      const lines = stdout.trimEnd().split("\n")
      const column = lines[0]?.indexOf("flags and environment") ?? -1
      assert.isAbove(column, 10)
      for (const line of lines.slice(0, -2)) assert.match(line.slice(0, column), /^(?:[✓–] [a-z-]+ +| +)$/u)
      assert.match(lines.at(-1) ?? "", /^\d+ in order, 5 left out\.$/)
      assertHidden(stdout, [clientSecret, encryptionSecret, privateHalf(signingKeys)])
    }))

  it.live("something wrong ends with 1, and no secret is printed", () =>
    Effect.gen(function*() {
      const { environment, okta } = yield* make({}, { redirectUris: ["https://old.example.com/"] })
      yield* okta.respond("token", (request, response) => {
        // An Okta that gives back what it was sent.
        response.writeHead(401, { "content-type": "application/json" })
        response.end(JSON.stringify({ error: "invalid_client", error_description: request.headers.authorization }))
      })
      const basic = Buffer.from(`${webClient.clientId}:${clientSecret}`).toString("base64")
      const hidden = [clientSecret, basic, encryptionSecret, privateHalf(signingKeys)]
      const forPeople = yield* doctor(["--skip-server"], { env: environment })
      assert.strictEqual(forPeople.exitCode, 1)
      assert.match(
        forPeople.stdout,
        /✗ redirect-uri +GET .*\n +The application does not have the sign-in redirect URI .*\n +→ Add it/
      )
      const forMachines = yield* doctor(["--skip-server", "--json"], { env: environment })
      assert.deepStrictEqual([forMachines.exitCode, forMachines.stderr], [1, ""])
      const { checks, ok } = printed(forMachines.stdout)
      assert.isFalse(ok)
      assert.deepStrictEqual(
        checks.filter(({ outcome }) => outcome === "failed").map(({ check }) => check),
        ["redirect-uri", "client-credentials"]
      )
      assertHidden(forPeople.stdout + forMachines.stdout, hidden)
    }))

  it.live("Okta is reached through a proxy where Node is told to use that of the environment", () =>
    Effect.gen(function*() {
      const { env, okta } = yield* native
      const targets = new Set<string>()
      const proxy = yield* tunnel((target) => void targets.add(target))
      const options = { env: { ...env, NODE_USE_ENV_PROXY: "1", HTTP_PROXY: proxy } }
      // The gateway goes to what is behind it by no proxy.
      const upstream = yield* httpServer((_, response) => void response.writeHead(405).end())
      const { exitCode, stdout } = yield* doctor(["--skip-server", "--upstream", upstream], options)
      assert.strictEqual(exitCode, 0, stdout)
      assert.include(stdout, "it answers (405)")
      assert.deepStrictEqual([...targets], [new URL(okta.issuer).host])
    }))

  it.live("a proxy that is not there is not taken for Okta, and its password is not printed", () =>
    Effect.gen(function*() {
      const { env } = yield* native
      const { host } = new URL(yield* Effect.scoped(httpServer(() => undefined)))
      const password = "password-of-the-proxy"
      const variables = { NODE_USE_ENV_PROXY: "1", HTTP_PROXY: `http://ada:${password}@${host}` }
      const { exitCode, stdout } = yield* doctor(["--skip-server"], { env: { ...env, ...variables } })
      assert.strictEqual(exitCode, 1)
      assert.include(stdout, `The proxy of the environment is not there, at ${host}.`)
      assertHidden(stdout, [password])
    }))

  it.live("wrong settings end with 2, each with its own line", () =>
    Effect.gen(function*() {
      const { exitCode, stdout } = yield* doctor([
        "--okta-issuer=https://acme.okta.com/",
        "--server-url=http://example.com"
      ], {})
      assert.strictEqual(exitCode, 2)
      for (
        const line of [
          "✗ settings  OKTA_ISSUER: https://acme.okta.com/\n" +
          "            OKTA_ISSUER ends with a slash.\n" +
          "            → Use https://acme.okta.com\n",
          "✗ settings  SERVER_URL: http://example.com\n",
          "✗ settings  OKTA_AUDIENCE: not given\n",
          "\n3 wrong.\n"
        ]
      ) assert.include(stdout, line)
    }))

  it.live("wrong flags end with 2", () =>
    Effect.gen(function*() {
      const { env } = yield* native
      const slow = yield* doctor(["--timeout", "soon"], { env })
      assert.strictEqual(slow.exitCode, 2)
      assert.include(slow.stdout, "--timeout is not a length of time.")
      const nowhere = yield* doctor(["--upstream", "127.0.0.1"], { env })
      assert.strictEqual(nowhere.exitCode, 2)
      assert.include(nowhere.stdout, "--upstream is not the URL of a server.")
      const both = yield* doctor(["--token=-", "--token-file=x"], { env })
      assert.strictEqual(both.exitCode, 2)
      assert.include(both.stdout, "--token is given beside --token-file.")
    }))

  it.live("warnings end with 0", () =>
    Effect.gen(function*() {
      const { environment } = yield* make()
      const { exitCode, stdout } = yield* doctor(["--skip-server", "--okta-scopes=openid"], { env: environment })
      assert.strictEqual(exitCode, 0, stdout)
      assert.match(stdout, /1 to know, \d+ in order, 4 left out\.\n$/)
    }))

  it.live("a token comes from a file or the environment", () =>
    Effect.gen(function*() {
      const { env, okta } = yield* native
      const token = yield* okta.mint()
      const file = `${yield* newFolder}/token`
      writeFileSync(file, `Bearer ${token}\n`)
      for (
        const [args, options] of [
          [["--token-file", file], { env }],
          [[], { env: { ...env, DOCTOR_TOKEN: token } }]
        ] satisfies ReadonlyArray<readonly [ReadonlyArray<string>, CommandOptions]>
      ) {
        const { exitCode, stderr, stdout } = yield* doctor([...args, "--json"], options)
        assert.strictEqual(exitCode, 0, stdout)
        const checks = printed(stdout).checks
        assert.isTrue(checks.some(({ check, found }) => check === "token" && found === "good, of ada@example.com"))
        assertHidden(stdout + stderr, partsOf(token))
      }
    }))

  it.live("a bad token, from the standard input, ends with 1, and its signature is not printed", () =>
    Effect.gen(function*() {
      const { env, okta } = yield* native
      const token = yield* okta.mint({ aud: "api://other" })
      const { exitCode, stdout } = yield* doctor(["--token", "-"], { env, stdin: `${token}\n` })
      assert.strictEqual(exitCode, 1)
      assert.match(
        stdout,
        /✗ token\.aud +aud \(whom it is for\): "api:\/\/other"\n +The token's audience is "api:\/\/other"/
      )
      assertHidden(stdout, partsOf(token))
    }))

  it.live("a token as an argument is refused and not repeated", () =>
    Effect.gen(function*() {
      const { env, okta } = yield* native
      const token = yield* okta.mint()
      const { exitCode, stderr, stdout } = yield* doctor(["--token", token], { env })
      assert.strictEqual(exitCode, 2)
      assert.include(stdout, "--token takes nothing but -, for the standard input.")
      assertHidden(stdout + stderr, [token, ...token.split(".")])
    }))

  it.live("no token where one is announced", () =>
    Effect.gen(function*() {
      const { env } = yield* native
      assert.include((yield* doctor(["--token=-"], { env })).stdout, "--token is empty.")
      const missing = yield* doctor(["--token-file=/nowhere/token"], { env })
      assert.strictEqual(missing.exitCode, 2)
      assert.include(missing.stdout, "--token-file cannot be read.")
    }))

  it.live("colours are for terminals", () =>
    Effect.gen(function*() {
      const { env } = yield* native
      assert.include(
        (yield* doctor([], { env: { ...env, NO_COLOR: "", FORCE_COLOR: "1" } })).stdout,
        "\u001b[32m✓\u001b[0m"
      )
    }))

  it.live("help names everything", () =>
    Effect.gen(function*() {
      const { exitCode, stdout } = yield* doctor(["--help"], {})
      assert.strictEqual(exitCode, 0)
      for (
        const flag of ["okta-issuer", "server-url", "path", "timeout", "skip-server", "token", "token-file", "json"]
      ) {
        assert.include(stdout, `--${flag}`)
      }
    }))
})
