import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { writeFileSync } from "node:fs"
import { webClient } from "../../src/demo/StandInDirectory.ts"
import { ec, ring } from "../proxy/grant/KeyRing.ts"
import { secret } from "../proxy/ProxyTest.ts"
import { newFile } from "../store/StoreFile.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"
import { run, start } from "./Command.ts"
import { exchange } from "./Serving.ts"

const [one, two] = [{ ...ec(), kid: "one" }, { ...ec(), kid: "two" }]

const arrange = Effect.gen(function*() {
  const okta = yield* OktaStandIn.make()
  const file = yield* newFile
  const write = (...keys: ReadonlyArray<object>) =>
    Effect.sync(() => writeFileSync(file, Redacted.value(ring(...keys))))
  const env = {
    OKTA_ISSUER: okta.issuer,
    OKTA_CLIENT_ID: webClient.clientId,
    OKTA_CLIENT_SECRET: webClient.clientSecret ?? "",
    ENCRYPTION_SECRET: Redacted.value(secret("a")),
    SERVER_URL: "https://mcp.example.com",
    SIGNING_KEYS_FILE: file,
    SQLITE_FILE: yield* newFile,
    PORT: "0"
  }
  return { env, file, write }
})

// A process of its own goes by the clock on the wall.
describe("effect-okta serve with SIGNING_KEYS_FILE", () => {
  it.live("reads it again on SIGHUP, and keeps the keys in use when it is not in order", () =>
    Effect.gen(function*() {
      const { env, file, write } = yield* arrange
      yield* write(one)
      const server = yield* start(["serve"], { env })
      const url = /^Listening on (\S+), /.exec(yield* server.printed)?.[1] ?? ""
      const kids = Effect.map(exchange(new URL("/.well-known/jwks.json", url).href), ({ body }) =>
        [...body.toString().matchAll(/"kid":"([^"]+)"/g)].map(([, kid]) => kid))
      assert.deepStrictEqual(yield* kids, ["one"])

      yield* write(two, one)
      yield* server.signal("SIGHUP")
      yield* server.logged("are in use from now on; the first signs: two, one")
      assert.deepStrictEqual(yield* kids, ["two", "one"])

      writeFileSync(file, "{\"keys\":[]}")
      yield* server.signal("SIGHUP")
      yield* server.logged("The keys in use stay")
      assert.deepStrictEqual(yield* kids, ["two", "one"])

      yield* write(two)
      yield* server.signal("SIGHUP")
      yield* server.logged("the first signs: two\"")
      assert.deepStrictEqual(yield* kids, ["two"])

      yield* server.signal("SIGTERM")
      const { exitCode, stderr, stdout } = yield* server.ended
      assert.strictEqual(exitCode, 0)
      for (const { d = "" } of [one, two]) {
        assert.notInclude(stdout + stderr, d)
      }
    }))

  it.live("does not start with one that cannot be read, or beside SIGNING_KEYS", () =>
    Effect.gen(function*() {
      const { env, write } = yield* arrange
      const missing = yield* run(["serve", "--signing-keys-file", "/does/not/exist"], { env })
      assert.strictEqual(missing.exitCode, 2)
      assert.include(missing.stderr, "SIGNING_KEYS_FILE (/does/not/exist) cannot be read (ENOENT)")
      yield* write(one)
      const both = yield* run(["serve"], { env: { ...env, SIGNING_KEYS: Redacted.value(ring(two)) } })
      assert.strictEqual(both.exitCode, 2)
      assert.include(both.stderr, "is set beside SIGNING_KEYS. Take one of them away.")
    }))

  it.live("tells what is wrong with the keys in the file by its name, whichever command reads it", () =>
    Effect.gen(function*() {
      const { env, file } = yield* arrange
      writeFileSync(file, "{\"keys\":[{\"kty\":\"EC\",\"d\":\"a canary\"}]}")
      const message = `SIGNING_KEYS_FILE (${file}) has a mistake: key 1 has members that are no private key.`
      // Grants are looked for in a database that is there.
      writeFileSync(env.SQLITE_FILE, "")
      for (const command of [["serve"], ["grants", "list", "--person", "a"]]) {
        const { exitCode, stderr, stdout } = yield* run(command, { env })
        assert.strictEqual(exitCode, 2)
        assert.include(stderr, message)
        assert.notInclude(stdout + stderr, "canary")
      }
      const { stdout } = yield* run(["doctor", "--skip-server"], { env })
      assert.include(stdout, `SIGNING_KEYS_FILE: ${file}`)
      assert.notInclude(stdout, "canary")
    }))
})
