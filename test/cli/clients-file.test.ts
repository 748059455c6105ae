import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { newFile } from "../store/StoreFile.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"
import { run } from "./Command.ts"
import { make } from "./doctor/ProxyPatient.ts"
import { exchange } from "./Serving.ts"

const canary = "canary, a secret of 32 bytes or more"
const nightly = { clientId: "nightly", clientSecrets: [canary], serviceScopes: ["mcp:read"] }

const fileWith = Effect.fnUntraced(function*(text: string) {
  const file = yield* newFile
  writeFileSync(file, text)
  return file
})

/** What is wrong with a file, which a message names as FILE. */
const cases: ReadonlyArray<readonly [what: string, text: string, ...mistakes: ReadonlyArray<string>]> = [
  ["no JSON", "[{\"clientId\": canary}]", "CLIENTS_FILE (FILE) is not JSON. Name a file that holds a list of clients."],
  [
    "JSON that breaks off",
    `[\n{"clientSecrets":["${canary}"]}\n{"clientId":"a"}]`,
    "CLIENTS_FILE (FILE) is not JSON (line 3 column 1). Name a file that holds a list of clients."
  ],
  ["nothing", "", "CLIENTS_FILE (FILE) is not JSON. Name a file that holds a list of clients."],
  [
    "one client, in no list",
    JSON.stringify(nightly),
    "CLIENTS_FILE (FILE) is not a list. Give one in brackets."
  ],
  [
    "mistakes in some clients",
    JSON.stringify([{ ...nightly, clientSecret: canary }, nightly, { ...nightly, serviceScopes: "mcp:read" }]),
    "CLIENTS_FILE[0].clientSecret (<redacted>) is not a setting of a client. Look for a slip in its name. The file is FILE.",
    "CLIENTS_FILE[2].serviceScopes (mcp:read) is not a list. Give one in brackets. The file is FILE."
  ]
]

// Processes of their own go by the clock on the wall.
layer(OktaStandIn.layer(), { excludeTestServices: true })("CLIENTS_FILE", (it) => {
  it.effect("names the configured clients: a service gets a token for itself", () =>
    Effect.gen(function*() {
      const { serve, serverUrl } = yield* make()
      yield* serve({ CLIENTS_FILE: yield* fileWith(JSON.stringify([nightly])) })
      const { body, status } = yield* exchange(`${serverUrl}/oauth/token`, {
        method: "POST",
        headers: { "content-type": "application/x-www-form-urlencoded" },
        body: new URLSearchParams({
          grant_type: "client_credentials",
          client_id: nightly.clientId,
          client_secret: canary
        }).toString()
      })
      assert.strictEqual(status, 200, body.toString())
      assert.strictEqual(JSON.parse(body.toString()).scope, "mcp:read")
    }))

  for (const [what, text, ...mistakes] of cases) {
    it.effect(`is a mistake in the settings when it holds ${what}`, () =>
      Effect.gen(function*() {
        const { environment } = yield* make()
        const file = yield* fileWith(text)
        const { exitCode, stderr, stdout } = yield* run(["serve"], { env: { ...environment, CLIENTS_FILE: file } })
        assert.deepStrictEqual([exitCode, stdout], [2, ""])
        assert.deepStrictEqual(
          stderr.trim().split("\n").slice(1),
          mistakes.map((mistake) => `  ${mistake.replace(/\bFILE\b(?=[).])/, file)}`)
        )
        assert.notInclude(stderr, "canary")
      }))
  }

  it.effect("is a mistake in the settings when it cannot be read, together with all others", () =>
    Effect.gen(function*() {
      const { environment: { SIGNING_KEYS: _, ...environment }, folder } = yield* make()
      const env = { ...environment, SERVER_URL: "https://mcp.example.com/", SIGNING_KEYS_FILE: "/does/not/exist" }
      const { stderr } = yield* run(["serve", "--clients-file", folder], { env })
      assert.match(stderr, /^There are 3 mistakes in the settings:\n {2}SERVER_URL /)
      assert.include(
        stderr,
        `CLIENTS_FILE (${folder}) cannot be read (EISDIR). Name a file that holds a list of clients.`
      )
      assert.include(stderr, "SIGNING_KEYS_FILE (/does/not/exist) cannot be read (ENOENT).")
    }))

  it.effect("is a mistake in the settings beside CLIENTS", () =>
    Effect.gen(function*() {
      const { environment } = yield* make()
      const file = yield* fileWith("[]")
      const { exitCode, stderr } = yield* run(["serve", "--clients-file", file], {
        env: { ...environment, CLIENTS: JSON.stringify([nightly]) }
      })
      assert.strictEqual(exitCode, 2)
      assert.include(stderr, `CLIENTS_FILE (${file}) is set beside CLIENTS. Take one of them away.`)
    }))

  it.effect("is looked at by doctor and grants, too", () =>
    Effect.gen(function*() {
      const { environment } = yield* make()
      const [good, bad] = [yield* fileWith(JSON.stringify([nightly])), yield* fileWith("[{}]")]
      const look = (file: string) =>
        run(["doctor", "--skip-server", "--clients-file", file], {
          env: { ...environment, OKTA_ENTERPRISE_MANAGED: "true" }
        })
      assert.include((yield* look(good)).stdout, "nightly may bring them")
      const told = yield* look(bad)
      assert.strictEqual(told.exitCode, 2)
      assert.include(told.stdout, "CLIENTS_FILE[0].clientId is missing.")
      assert.include(told.stdout, bad)
      const missing = yield* run(["grants", "list", "--person", "ada", "--clients-file", "/does/not/exist"], {
        env: environment
      })
      assert.strictEqual(missing.exitCode, 2)
      assert.include(missing.stderr, "CLIENTS_FILE (/does/not/exist) cannot be read (ENOENT)")
    }))
})
