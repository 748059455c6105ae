import { Duration, Effect, Option, Redacted, Schema } from "effect"
import { createHash, randomBytes, timingSafeEqual } from "node:crypto"
import type { RevocationReason } from "../../observe/AuditEvent.ts"
import { sparingly } from "../../observe/Sparingly.ts"
import type { Store, StoreUnavailable } from "../../store/Store.ts"
import { isNamed } from "../ResourceIndicator.ts"
import type { Sealed } from "../Sealed.ts"
import * as SealedRecords from "../SealedRecords.ts"
import { InvalidGrant, InvalidTarget } from "./GrantError.ts"

/** What an authorization code stands for. */
const AuthorizationCode = Schema.Struct({
  grantId: Schema.String,
  clientId: Schema.String,
  redirectUri: Schema.String,
  /** Of the client's own PKCE, by S256. */
  codeChallenge: Schema.String,
  resource: Schema.String,
  /** The thumbprint of the key that only its holder may redeem the code with (RFC 9449 section 10). */
  dpopKey: Schema.optionalKey(Schema.String)
})

/** What an authorization code stands for. */
export type AuthorizationCode = typeof AuthorizationCode.Type

/** What a client sends to get tokens for a code (RFC 6749 section 4.1.3, RFC 7636 section 4.5, RFC 8707 section 2.2). */
export interface Redemption {
  readonly code: Redacted.Redacted<string>
  readonly redirectUri: string
  readonly codeVerifier: Redacted.Redacted<string>
  readonly resource?: string | undefined
  /** The thumbprint of a key that the client has proven to hold. */
  readonly dpopKey?: string | undefined
}

/** How long a code is good. */
const lifetime = Duration.seconds(60)

/** How long it is remembered that a code was used. */
const remembered = Duration.days(1)

/** Codes are of this form; what is not need not be looked up. */
const form = /^[\w-]{43}$/

const Used = Schema.fromJsonString(Schema.Struct({
  /** The name under which the code was found. */
  key: Schema.String,
  grantId: Schema.String,
  clientId: Schema.String
}))
const encodeUsed = Schema.encodeEffect(Used)
const decodeUsed = Schema.decodeOption(Used)

/** The codes of a server. */
export interface AuthorizationCodes {
  /** A new code. */
  readonly issue: (code: AuthorizationCode) => Effect.Effect<string, StoreUnavailable>
  /**
   * What the code stands for, to the one who is first to redeem it with all that belongs to it.
   *
   * Before that, `prepare` gets ready what is needed of its grant, or finds that there is none. `onEnded` is run with the
   * grant that has to end, because the code was redeemed again or by somebody who does not know the verifier.
   */
  readonly redeem: <A>(options: {
    readonly clientId: string
    readonly redemption: Redemption
    readonly prepare: (grantId: string) => Effect.Effect<Option.Option<A>, StoreUnavailable>
    readonly onEnded: (grantId: string, why: RevocationReason) => Effect.Effect<unknown, StoreUnavailable>
  }) => Effect.Effect<
    { readonly code: AuthorizationCode; readonly prepared: A },
    InvalidGrant | InvalidTarget | StoreUnavailable
  >
}

/** Whether a verifier belongs to a challenge (RFC 7636 section 4.6). */
export const provesChallenge = (verifier: string, challenge: string): boolean => {
  const expected = Buffer.from(challenge)
  const actual = Buffer.from(createHash("sha256").update(verifier).digest("base64url"))
  return /^[\w.~-]{43,128}$/.test(verifier) && expected.length === actual.length && timingSafeEqual(expected, actual)
}

/**
 * Authorization codes in the store, of which each is good once.
 *
 * **Details**
 *
 * Who is the first to put down that a code is used has redeemed it; a code that is presented again ends its grant, also
 * when its own time is over. What another client presents has no effect.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6749.html#section-4.1.2
 */
export const make = (keeping: {
  readonly store: Store["Service"]
  readonly sealed: Sealed["Service"]
}): AuthorizationCodes => {
  const { sealed, store } = keeping
  const records = SealedRecords.make("code", "code", AuthorizationCode, keeping)

  /** Under the very name by which the code itself was found, so that every server means the same one. */
  const markerOf = (codeKey: string) => `used:${codeKey}`

  const use = Effect.fnUntraced(function*(key: string, { clientId, grantId }: AuthorizationCode) {
    const marker = yield* sealed.seal("code", yield* Effect.orDie(encodeUsed({ key, grantId, clientId })))
    return yield* store.putIfAbsent(markerOf(key), marker, remembered)
  })

  /** The grant whose code was used before its own time was over. */
  const usedBefore = Effect.fnUntraced(function*(code: string, clientId: string) {
    for (const hash of yield* sealed.hashes("store-key", code)) {
      const key = `code:${hash}`
      const marker = yield* store.get(markerOf(key))
      if (Option.isNone(marker)) continue
      const opened = Option.flatMap(yield* sealed.open("code", marker.value), decodeUsed)
      const used = Option.filter(opened, (used) => used.key === key)
      if (Option.isSome(used)) return Option.filter(used, (used) => used.clientId === clientId)
      yield* SealedRecords.warnOfForeign("used")
    }
    return Option.none()
  })

  const replayed = (
    grantId: string,
    onEnded: (grantId: string, why: RevocationReason) => Effect.Effect<unknown, StoreUnavailable>
  ) =>
    sparingly("Warn", "code replayed", "An authorization code was presented again, so its grant has ended").pipe(
      Effect.andThen(onEnded(grantId, "code-replayed")),
      Effect.andThen(Effect.fail(new InvalidGrant({ reason: "the code has been used before" })))
    )

  return {
    issue: Effect.fnUntraced(function*(record) {
      const code = randomBytes(32).toString("base64url")
      yield* records.add(code, record, lifetime)
      return code
    }),
    redeem: Effect.fnUntraced(function*({ clientId, onEnded, prepare, redemption }) {
      const code = Redacted.value(redemption.code)
      const unknown = new InvalidGrant({ reason: "the code is not known, or its time is over" })
      if (!form.test(code)) return yield* unknown
      const found = yield* records.find(code)
      if (Option.isNone(found)) {
        const used = yield* usedBefore(code, clientId)
        return yield* Option.isSome(used) ? replayed(used.value.grantId, onEnded) : unknown
      }
      const { key, value: record } = found.value
      if (record.clientId !== clientId) {
        return yield* new InvalidGrant({ reason: "the code was issued to another client" })
      }
      if (redemption.resource !== undefined && !isNamed(record.resource, redemption.resource)) {
        return yield* new InvalidTarget({ expected: record.resource, actual: redemption.resource })
      }
      const wrong = redemption.redirectUri !== record.redirectUri
        ? "the redirect URI is not the one of the authorization request"
        : !provesChallenge(Redacted.value(redemption.codeVerifier), record.codeChallenge)
        ? "the code verifier does not belong to the code challenge"
        : record.dpopKey !== undefined && redemption.dpopKey !== record.dpopKey
        ? "it does not come with a DPoP proof by the key that the code is bound to"
        : undefined
      // Last of all, so that the code is still good where something before it could not be done; and after it nothing is
      // asked about the grant, which whoever comes second ends at once.
      const grant = wrong === undefined ? yield* prepare(record.grantId) : Option.none()
      if (!(yield* use(key, record))) return yield* replayed(record.grantId, onEnded)
      if (wrong !== undefined) yield* onEnded(record.grantId, "code-misused")
      return Option.isSome(grant)
        ? { code: record, prepared: grant.value }
        : yield* new InvalidGrant({ reason: wrong ?? "the grant has ended" })
    })
  }
}
