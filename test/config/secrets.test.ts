import { assert, describe, it } from "@effect/vitest"
import { Cause, ConfigProvider, Effect, Layer, Logger, Redacted, Result } from "effect"
import { inspect } from "node:util"
import { layerConfig } from "../../src/config/Environment.ts"
import { decode, OktaConfig } from "../../src/config/OktaConfig.ts"

const canary = "canary-5f0c1d"
const secret = Redacted.make(`${canary}-and-more-to-make-it-long-enough`)

const proxy = {
  issuer: "https://acme.okta.com",
  serverUrl: "https://mcp.example.com",
  clientId: "0oa1client",
  clientSecret: secret,
  encryptionSecret: [secret, secret],
  signingKeys: Redacted.make(`{"keys":[{"kty":"EC","d":"${canary}"}]}`)
}

/** Everything by which a value reaches a person or a log. */
const writtenOut = Effect.fnUntraced(function*(value: unknown) {
  const lines: Array<string> = []
  const formats = [Logger.formatSimple, Logger.formatLogFmt, Logger.formatJson]
  const logger = Logger.layer([
    ...formats.map((format) => Logger.map(format, (line) => void lines.push(line))),
    Logger.map(Logger.formatStructured, (line) => void lines.push(inspect(line, { depth: 20 }), JSON.stringify(line)))
  ])
  yield* Effect.gen(function*() {
    yield* Effect.logInfo(value)
    yield* Effect.logInfo("settings", value)
    yield* Effect.logInfo("settings").pipe(Effect.annotateLogs({ settings: value }))
    yield* Effect.logError("failed", Cause.fail(value))
    yield* Effect.logError("failed", Cause.die(value))
  }).pipe(Effect.provide(logger))
  assert.lengthOf(lines, 25)
  return [
    ...lines,
    String(value),
    JSON.stringify(value),
    inspect(value, { depth: 20, showHidden: true, getters: true }),
    Cause.pretty(Cause.fail(value)),
    Cause.pretty(Cause.die(value)),
    inspect(Cause.fail(value), { depth: 20 }),
    JSON.stringify(Cause.fail(value)),
    value instanceof Error ? `${value.message} ${value.stack}` : ""
  ]
})

const mistaken: ReadonlyArray<readonly [what: string, options: Parameters<typeof decode>[0]]> = [
  ["a secret that is too short", { ...proxy, encryptionSecret: Redacted.make(canary) }],
  ["a secret that is not redacted", {
    ...proxy,
    clientSecret: canary,
    encryptionSecret: [canary],
    signingKeys: canary
  }],
  ["a broken key", { ...proxy, clientSecret: undefined, clientKey: Redacted.make(`{"d":"${canary}`) }],
  ["a broken key ring", { ...proxy, signingKeys: Redacted.make(canary) }],
  ["a secret of another type", { ...proxy, clientSecret: { secret: canary }, clientKey: [canary] }],
  ["a secret in the mode that has none", { issuer: "https://acme.okta.com", encryptionSecret: secret }],
  ["credentials in a URL", { issuer: `https://ada:${canary}@acme.okta.com`, serverUrl: `https://x:y@${canary}@b/` }],
  ["credentials in a text that is no URL", { issuer: `https://ada:${canary}/x@acme.okta.com` }],
  ["credentials in an origin", { ...proxy, allowedOrigins: [`https://ada:${canary}@app.example.com`] }],
  ["a secret under a name that does not exist", Object.assign({ client_secret: canary }, proxy)],
  ["everything", { ...proxy, mode: "native" }]
]

describe("secrets cannot be read", () => {
  it.effect("from the settings", () =>
    Effect.gen(function*() {
      const settings = yield* Effect.fromResult(decode(proxy))
      for (const text of yield* writtenOut(settings)) assert.notInclude(text, canary)
      assert.include(JSON.stringify(settings), "redacted")
      const service = yield* Effect.provide(OktaConfig, OktaConfig.layer(proxy))
      for (const text of yield* writtenOut({ service })) assert.notInclude(text, canary)
    }))

  for (const [what, options] of mistaken) {
    it.effect(`from the error about ${what}`, () =>
      Effect.gen(function*() {
        const decoded = decode(options)
        assert.isTrue(Result.isFailure(decoded))
        if (Result.isSuccess(decoded)) return
        for (const text of yield* writtenOut(decoded.failure)) assert.notInclude(text, canary)
      }))
  }

  it.effect("from the environment's settings and mistakes", () =>
    Effect.gen(function*() {
      const env = {
        OKTA_ISSUER: "https://acme.okta.com",
        OKTA_CLIENT_ID: "0oa1client",
        OKTA_CLIENT_SECRET: `${canary}-1`,
        ENCRYPTION_SECRET: `${canary}-${"x".repeat(32)}`,
        SIGNING_KEYS: `{"keys":["${canary}"]}`
      }
      const read = (env: { readonly [name: string]: string }) =>
        Effect.result(
          Effect.provide(
            OktaConfig,
            layerConfig().pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))))
          )
        )
      const good = yield* read({ ...env, SERVER_URL: "https://mcp.example.com" })
      const bad = yield* read({ ...env, OKTA_CLIENT_KEY: canary })
      assert.isTrue(Result.isSuccess(good) && Result.isFailure(bad))
      for (const text of [...yield* writtenOut(good), ...yield* writtenOut(bad)]) assert.notInclude(text, canary)
    }))
})
