import { Array, Context, Effect, Layer, Redacted, Schema } from "effect"
import { generateKeyPairSync } from "node:crypto"
import { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import { KeysRotated } from "../../observe/AuditEvent.ts"
import type { VerificationKey } from "../../provider/JsonWebKey.ts"
import { Jwks, UnknownKey } from "../../provider/Jwks.ts"
import * as Audit from "../Audit.ts"
import { allowEphemeral, proxySettings } from "../ProxySettings.ts"
import { type PublishedKey, read, type SigningKey } from "./SigningKey.ts"

/** A JWK Set of public keys (RFC 7517 section 5). */
export interface PublishedKeys {
  readonly keys: ReadonlyArray<PublishedKey>
}

type Ring = Array.NonEmptyReadonlyArray<SigningKey>

/**
 * The keys with which this server signs: the first of the ring signs, all verify and are published.
 *
 * **Details**
 *
 * Without `signingKeys` a server on a loopback address makes a key for as long as it runs; one with an https `serverUrl`
 * does not start.
 *
 * **Gotchas**
 *
 * To replace a key while several replicas run, add the new one at the end of the ring of each, then move it to the front,
 * and take the old one away an hour later, when the last token that it signed has expired.
 */
export class SigningKeys extends Context.Service<SigningKeys, {
  /** The key that signs. */
  readonly current: Effect.Effect<SigningKey>
  /** The document for `/.well-known/jwks.json`: public members only. */
  readonly published: Effect.Effect<PublishedKeys>
  /** The public half of the key with this `kid`. */
  readonly peek: (kid: string) => VerificationKey | undefined
  /** Every `kid` of the ring. */
  readonly kids: () => ReadonlyArray<string>
  /** Puts another ring in place of this one: a JWK Set of private keys as JSON. A wrong one changes nothing. */
  readonly reload: (signingKeys: Redacted.Redacted<string>) => Effect.Effect<void, InvalidConfiguration>
}>()("effect-okta/proxy/grant/SigningKeys") {
  static readonly layer: Layer.Layer<SigningKeys, InvalidConfiguration, OktaConfig> = Layer.effect(
    SigningKeys,
    Effect.gen(function*() {
      const settings = yield* proxySettings
      if (settings.signingKeys === undefined) yield* allowEphemeral(settings, missing)
      let ring = yield* readRing(settings.signingKeys ?? madeUp())
      const audit = yield* Audit.make
      const find = (kid: string) => ring.find((key) => key.kid === kid)

      return SigningKeys.of({
        current: Effect.sync(() => ring[0]),
        published: Effect.sync(() => ({ keys: ring.map((key) => key.published) })),
        peek: (kid) => find(kid)?.verification,
        kids: () => ring.map((key) => key.kid),
        reload: (signingKeys) =>
          Effect.flatMap(readRing(signingKeys), (next) => {
            const before = new Set(ring.map(({ kid }) => kid))
            const after = new Set(next.map(({ kid }) => kid))
            // A key that stays is the same object, by which remembered verdicts know that theirs is still held.
            ring = Array.map(next, (key) => {
              const old = find(key.kid)
              return old !== undefined && isSame(old, key) ? old : key
            })
            const [added, removed] = [[...after.difference(before)], [...before.difference(after)]]
            return added.length + removed.length === 0 ?
              Effect.void :
              audit((origin) => new KeysRotated({ ...origin, issuer: settings.serverUrl, added, removed }))
          })
      })
    })
  )

  /** The ring as the key set of an issuer, so that `TokenVerifier` verifies what this server signed. */
  static readonly jwks: Layer.Layer<Jwks, InvalidConfiguration, SigningKeys | OktaConfig> = Layer.effect(
    Jwks,
    Effect.gen(function*() {
      const { serverUrl } = yield* proxySettings
      const ring = yield* SigningKeys
      return Jwks.of({
        key: (kid) =>
          Effect.suspend(() => {
            const key = ring.peek(kid)
            return key === undefined
              ? Effect.fail(
                new UnknownKey({ issuer: serverUrl, kid: kid.slice(0, 100), known: ring.kids(), ownToken: true })
              )
              : Effect.succeed(key)
          }),
        peek: ring.peek,
        holds: (key) => ring.peek(key.kid) === key,
        ready: Effect.void,
        usable: Effect.succeed(true),
        reload: Effect.void,
        clockSkew: () => undefined
      })
    })
  )
}

const missing = {
  field: "signingKeys",
  variable: "SIGNING_KEYS",
  cost:
    "With a key that lives no longer than the process, every restart ends all access tokens, and no second process " +
    "can verify them.",
  mend: "Make one with: npx effect-okta keys"
} as const

const madeUp = (): Redacted.Redacted<string> => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  return Redacted.make(JSON.stringify({ keys: [privateKey.export({ format: "jwk" })] }))
}

const isSame = (one: SigningKey, other: SigningKey): boolean =>
  one.algorithm === other.algorithm && one.verification.key.equals(other.verification.key)

const decode = Schema.decodeUnknownEffect(
  Schema.fromJsonString(Schema.Struct({ keys: Schema.NonEmptyArray(Schema.Unknown) }))
)

/** The keys of a ring, or every mistake in it; never what is secret of it. */
const readRing = Effect.fnUntraced(function*(
  signingKeys: Redacted.Redacted<string>
): Effect.fn.Return<Ring, InvalidConfiguration> {
  const { keys } = yield* Effect.mapError(
    decode(Redacted.value(signingKeys)),
    () => mistakes(["is not a key ring. Give a JWK Set of private keys as JSON"])
  )
  const [ring, unusable] = yield* Effect.partition(
    keys,
    (jwk, index) => Effect.mapError(read(jwk), (problem) => `has a mistake: key ${index + 1} ${problem}`)
  )
  const kids = ring.map((key) => key.kid)
  const repeated = new Set(kids.filter((kid, index) => kids.indexOf(kid) !== index))
  const problems = [
    ...unusable,
    ...Array.map([...repeated], (kid) => `has the kid ${JSON.stringify(kid)} more than once`)
  ]
  return Array.isReadonlyArrayNonEmpty(ring) && problems.length === 0 ? ring : yield* mistakes(problems)
})

const mistakes = (problems: ReadonlyArray<string>): InvalidConfiguration =>
  new InvalidConfiguration({
    problems: problems.map((problem) => ({
      field: "signingKeys",
      value: "<redacted>",
      message: `${problem}. Make keys with: npx effect-okta keys`
    }))
  })
