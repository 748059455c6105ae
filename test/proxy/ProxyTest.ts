import { Cause, Effect, Exit, Layer, Logger, Redacted } from "effect"
import { InvalidConfiguration } from "../../src/config/InvalidConfiguration.ts"
import { OktaConfig, type OktaOptions } from "../../src/config/OktaConfig.ts"
import type { User } from "../../src/token/Principal.ts"
import { ec, ring } from "./grant/KeyRing.ts"

export const serverUrl = "https://mcp.example.com"
export const loopbackUrl = "http://127.0.0.1:8080"

/** The time in these tests, in seconds since 1970. */
export const now = 1_700_000_000

/** A person, of whom Okta says little. */
export const ada: User = {
  _tag: "User",
  subject: "00u1ada",
  uid: "00u1ada",
  username: "ada@example.com",
  email: "ada@example.com",
  groups: [],
  scopes: [],
  amr: []
}

export const secret = (letter: string) => Redacted.make(letter.repeat(32))

const signingKeys = ring({ ...ec(), kid: "one" })

/** The settings of a proxy, with others on top; `undefined` takes one away. */
export const configLayer = (settings: Partial<OktaOptions> = {}) =>
  OktaConfig.layer({
    issuer: "https://acme.okta.com",
    serverUrl,
    clientId: "0oa1client",
    clientSecret: Redacted.make("client secret at Okta"),
    encryptionSecret: secret("a"),
    signingKeys,
    ...settings
  })

/** Native mode, in which there is nothing of the proxy. */
export const nativeLayer = OktaConfig.layer({
  issuer: "https://acme.okta.com/oauth2/default",
  audience: "api://default"
})

/** What building a layer logs as warnings, and why it cannot be built, if so. */
export const build = <A, E>(layer: Layer.Layer<A, E>) =>
  Effect.gen(function*() {
    const warnings: Array<string> = []
    const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
      if (logLevel === "Warn") warnings.push(String(message))
    })
    const exit = yield* Effect.exit(Effect.scoped(Layer.build(layer))).pipe(Effect.provide(Logger.layer([logger])))
    const failure = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
    return { warnings, failure, problems: failure instanceof InvalidConfiguration ? failure.problems : [] }
  })
