import { Array, Clock, Context, Effect, Layer, Option, Redacted } from "effect"
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
  timingSafeEqual
} from "node:crypto"
import type { InvalidConfiguration } from "../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../config/OktaConfig.ts"
import { allowEphemeral, proxySettings } from "./ProxySettings.ts"

/** What sealed texts and hashes are made for; what is made for one purpose means nothing for another. */
export const purposes = [
  /** A registered client, in its id. */
  "client",
  /** The secret of a confidential client. */
  "client-secret",
  /** An authorization request on its way through the consent page. */
  "request",
  /** A remembered consent. */
  "consent",
  /** Which grants were given in a browser. */
  "session",
  /** A sign-out on its way. */
  "logout",
  /** What goes to Okta and comes back as `state`. */
  "flow",
  /** The same, of a person who comes to a page of this server itself. */
  "visit",
  /** The cookie that says who has signed in for such a page, and its forms. */
  "visit-cookie",
  /** The cookie that ties a flow to a browser. */
  "binding",
  /** An authorization code. */
  "code",
  /** A refresh token. */
  "refresh",
  /** A grant in the store. */
  "grant",
  /** Which grants there are. */
  "grants",
  /** That all grants of somebody have ended. */
  "mark",
  /** Okta's tokens in the store. */
  "upstream",
  /** A nonce for DPoP proofs. */
  "dpop-nonce",
  /** The names of entries in the store. */
  "store-key"
] as const

/** What a sealed text or a hash is made for. */
export type Purpose = (typeof purposes)[number]

/**
 * Seals texts so that only this server can read or make them.
 *
 * **Details**
 *
 * Every purpose has its own keys, derived from `encryptionSecret` (HKDF with SHA-256, RFC 5869). A sealed text is a compact
 * JWE (RFC 7516) of `dir` and `A256GCM`. Of several secrets the first seals and hashes, and all open and confirm. To
 * replace one without anybody having to sign in again, add the new one at the end on every replica, then move it to the
 * front, and take the old one away when nothing sealed with it is alive.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7516.html#section-3.1
 */
export class Sealed extends Context.Service<Sealed, {
  /** A text that hides the value. `expiresAt`, in milliseconds since 1970, ends it. */
  readonly seal: (purpose: Purpose, value: string, expiresAt?: number) => Effect.Effect<string>
  /** The value in a text sealed for this purpose and still alive. Nobody is told why a text does not open. */
  readonly open: (purpose: Purpose, text: string) => Effect.Effect<Option.Option<string>>
  /** A name for a text (HMAC with SHA-256, base64url) that does not give it away. */
  readonly hash: (purpose: Purpose, text: string) => Effect.Effect<string>
  /** The names that a text has or had: one for each secret, the current one first. Look up all of them. */
  readonly hashes: (purpose: Purpose, text: string) => Effect.Effect<Array.NonEmptyReadonlyArray<string>>
  /** Whether a hash is one of the text's, by any secret; takes as long whether it is or not. */
  readonly confirms: (purpose: Purpose, text: string, hash: string) => Effect.Effect<boolean>
}>()("effect-okta/proxy/Sealed") {
  static readonly layer: Layer.Layer<Sealed, InvalidConfiguration, OktaConfig> = Layer.effect(
    Sealed,
    Effect.gen(function*() {
      const settings = yield* proxySettings
      const clock = yield* Clock.Clock
      const configured = Array.map(settings.encryptionSecret ?? [], (secret) => Buffer.from(Redacted.value(secret)))
      if (!Array.isArrayNonEmpty(configured)) yield* allowEphemeral(settings, missing)
      const secrets = Array.map(Array.isArrayNonEmpty(configured) ? configured : [randomBytes(32)] as const, fromBytes)
      const [first] = secrets

      const hashes = (purpose: Purpose, text: string) => Array.map(secrets, ({ hash }) => hash(purpose, text))

      return Sealed.of({
        seal: (purpose, value, expiresAt) => Effect.sync(() => first.seal(purpose, `${expiresAt ?? ""}\n${value}`)),
        open: Effect.fnUntraced(function*(purpose, text) {
          // The one header that each secret seals with: no other, whatever it may ask for, reaches the decryption.
          const secret = secrets.find(({ prefix }) => text.startsWith(prefix))
          if (secret === undefined) return Option.none()
          const parts = text.slice(secret.prefix.length).split(".")
          if (!parts.every(isCanonical)) return Option.none()
          const opened = yield* Effect.option(Effect.try(() => secret.open(purpose, parts)))
          return Option.flatMap(opened, (plaintext) => alive(plaintext, clock.currentTimeMillisUnsafe()))
        }),
        hash: (purpose, text) => Effect.sync(() => first.hash(purpose, text)),
        hashes: (purpose, text) => Effect.sync(() => hashes(purpose, text)),
        confirms: (purpose, text, hash) =>
          Effect.sync(() => hashes(purpose, text).filter((expected) => equal(expected, hash)).length > 0)
      })
    })
  )
}

const missing = {
  field: "encryptionSecret",
  variable: "ENCRYPTION_SECRET",
  cost:
    "With one that lives no longer than the process, every restart ends all registrations and sessions, and no second " +
    "process can share in them.",
  mend: "Make one with: npx effect-okta keys"
} as const

const algorithm = "aes-256-gcm"

/** What one secret can do. */
const fromBytes = (secret: Uint8Array) => {
  const derive = (info: string, length: number) =>
    Buffer.from(hkdfSync("sha256", secret, "", `effect-okta/${info}`, length))
  /** A key for each purpose, derived on its first use. */
  const keysFor = (use: "seal" | "hash") => {
    const keys = new Map<Purpose, KeyObject>()
    return (purpose: Purpose): KeyObject => {
      const known = keys.get(purpose)
      if (known !== undefined) return known
      const key = createSecretKey(derive(`${use}/${purpose}`, 32))
      keys.set(purpose, key)
      return key
    }
  }
  const hashingKey = keysFor("hash")
  const sealingKey = keysFor("seal")
  const header = { alg: "dir", enc: "A256GCM", kid: derive("kid", 9).toString("base64url") }
  const encodedHeader = Buffer.from(JSON.stringify(header)).toString("base64url")
  const authenticated = Buffer.from(encodedHeader, "ascii")
  /** Header and empty key, as they begin whatever is sealed with this secret. */
  const prefix = `${encodedHeader}..`
  return {
    prefix,
    seal: (purpose: Purpose, plaintext: string) => {
      const nonce = randomBytes(12)
      const cipher = createCipheriv(algorithm, sealingKey(purpose), nonce).setAAD(authenticated)
      const parts = [nonce, Buffer.concat([cipher.update(plaintext, "utf8"), cipher.final()]), cipher.getAuthTag()]
      return prefix + parts.map((part) => part.toString("base64url")).join(".")
    },
    /** Throws on what was not sealed for this purpose, or was changed since. */
    open: (purpose: Purpose, parts: ReadonlyArray<string>) => {
      const [nonce, ciphertext, tag, ...more] = parts.map((part) => Buffer.from(part, "base64url"))
      if (nonce?.length !== 12 || ciphertext === undefined || tag?.length !== 16 || more.length > 0) throw new Error()
      const decipher = createDecipheriv(algorithm, sealingKey(purpose), nonce, { authTagLength: 16 })
      decipher.setAAD(authenticated).setAuthTag(tag)
      return Buffer.concat([decipher.update(ciphertext), decipher.final()])
    },
    hash: (purpose: Purpose, text: string) => createHmac("sha256", hashingKey(purpose)).update(text).digest("base64url")
  }
}

/** A decoder accepts padding, other alphabets and stray bits; what encodes to the same text again had none of them. */
const isCanonical = (part: string): boolean => Buffer.from(part, "base64url").toString("base64url") === part

const alive = (plaintext: Uint8Array, now: number): Option.Option<string> => {
  const text = Buffer.from(plaintext).toString("utf8")
  const end = text.indexOf("\n")
  const expiresAt = text.slice(0, end)
  return expiresAt === "" || now < Number(expiresAt) ? Option.some(text.slice(end + 1)) : Option.none()
}

const equal = (expected: string, actual: string): boolean => {
  const [a, b] = [Buffer.from(expected), Buffer.from(actual)]
  return a.length === b.length && timingSafeEqual(a, b)
}
