import { Clock, Data, Duration, Effect, Option, type Redacted, type Scope } from "effect"
import { AdmissionRefused, GrantRevoked, ReplayDetected, type RevocationReason } from "../../observe/AuditEvent.ts"
import * as Outage from "../../observe/Outage.ts"
import { sparingly } from "../../observe/Sparingly.ts"
import { unavailable } from "../../provider/OktaForms.ts"
import type { Store, StoreUnavailable } from "../../store/Store.ts"
import type { User } from "../../token/Principal.ts"
import * as Remembered from "../../token/Remembered.ts"
import type { Admit } from "../Admission.ts"
import { type Audit, clientHandle, grantHandle } from "../Audit.ts"
import { type OktaClient, type OktaSession, OktaUnavailable } from "../OktaClient.ts"
import type { Sealed } from "../Sealed.ts"
import type { Found } from "../SealedRecords.ts"
import { isDue as isIndexDue } from "./GrantIndex.ts"
import { type Grant, type GrantRecords, isDue, notedFor, timeToLive } from "./GrantRecord.ts"
import * as OktaTokens from "./OktaTokens.ts"

/** What the check works with. */
export interface Parts {
  readonly admit: Admit
  readonly audit: Audit
  readonly records: GrantRecords
  readonly sealed: Sealed["Service"]
  readonly okta: OktaClient["Service"]
  readonly store: Store["Service"]
}

/** The grant as Okta renewed it, or none when it has ended. */
type Renewed = Option.Option<Found<Grant>>

/** Asks Okta about grants. */
export interface OktaCheck {
  /** The grant, renewed by Okta if its word is too old; none when it has ended, which is known here from then on. */
  readonly renew: (id: string) => Effect.Effect<Renewed, StoreUnavailable | OktaUnavailable>
  /** Ends a grant here, and then at Okta as far as Okta can be reached; whether there was one. */
  readonly end: (id: string, why: RevocationReason) => Effect.Effect<boolean, StoreUnavailable>
}

/** What Okta answers when the person may not enter any more, or only by signing in again. */
const refusals = new Set([
  "invalid_grant",
  "access_denied",
  "login_required",
  "interaction_required",
  "consent_required",
  "insufficient_authentication_context"
])

/** What has come a second time, when that is why a grant ends. */
const replays: { readonly [why in RevocationReason]?: ReplayDetected["what"] } = {
  "code-replayed": "authorization code",
  "refresh-token-replayed": "refresh token"
}

/** A grant as events name it. */
export const named = (id: string, { clientId, user }: Grant) => ({
  grant: grantHandle(id),
  clientId: clientHandle(clientId),
  subject: user.subject
})

/** For how long no other server asks about a grant, whatever happens to the one that does. */
const turnLength = Duration.seconds(20)

/** How long a server waits before it looks again whether another has done asking, and how often it does. */
const pause = Duration.millis(100)
const longestWait = 50

/**
 * The person as Okta says now, who signed in as Okta said at the time: a renewed ID token may leave that out, and changes nothing
 * of it (OpenID Connect Core section 12.2).
 */
const signedInAs = (now: User, { acr, amr, authTime }: User): User => ({
  ...(acr === undefined ? undefined : { acr }),
  ...(authTime === undefined ? undefined : { authTime }),
  ...now,
  amr: now.amr.length > 0 ? now.amr : amr
})

/** Okta said or did something with which nothing can be concluded about the grant. */
class Unclear extends Data.TaggedError("Unclear")<{ readonly message: string }> {}

const unclear = (message: string) => Effect.fail(new Unclear({ message }))

/**
 * Asks Okta whether people may still enter, for one grant once at a time: a refresh token of Okta's may be good once only.
 *
 * **Details**
 *
 * Who waits for the answer may go away: Okta may have replaced its refresh token by then, so the answer is always awaited
 * and kept.
 */
export const make = Effect.fnUntraced(function*(
  { admit, audit, okta, records, sealed, store }: Parts
): Effect.fn.Return<OktaCheck, never, Scope.Scope> {
  // Nothing that comes of it is given again.
  const asking = yield* Remembered.make<Renewed, StoreUnavailable | OktaUnavailable>(0)
  const nowInSeconds = Effect.map(Clock.currentTimeMillis, (millis) => millis / 1000)

  const watchingRevocations = Outage.make("Okta, where grants are revoked,", { reasonOf: Outage.byMessage })
  const watchingRenewals = Outage.make("Okta's renewal of grants", {
    warn: ({ message }) => Effect.logError(message),
    reasonOf: Outage.byMessage
  })

  const revokeAtOkta = (token: Redacted.Redacted<string>) =>
    Effect.ignore(
      watchingRevocations(
        Effect.mapError(okta.revoke(token), ({ message }) => ({
          message: `A grant has ended here, but could not be revoked at Okta: ${message}`
        })),
        () => true
      )
    )

  const end = (id: string, why: RevocationReason) =>
    Effect.uninterruptible(Effect.gen(function*() {
      const what = replays[why]
      if (what !== undefined) yield* audit((origin) => new ReplayDetected({ ...origin, what, grant: grantHandle(id) }))
      const grant = yield* records.take(id)
      if (Option.isNone(grant)) return false
      yield* audit((origin) => new GrantRevoked({ ...origin, ...named(id, grant.value), why }))
      const { okta } = grant.value
      if (okta === undefined) return true
      const token = yield* OktaTokens.openToken(sealed, okta.refreshToken ?? okta.accessToken)
      if (Option.isSome(token)) yield* revokeAtOkta(token.value)
      return true
    }))

  /** The grant, noted in the index where that is due; what fails is tried again at the next renewal. */
  const noted = Effect.fnUntraced(function*(id: string, before: Grant, next: Grant) {
    const indexedAt = yield* nowInSeconds
    if (!isIndexDue(before, next, indexedAt)) return next
    const { indexedAt: _, ...others } = next
    return yield* Effect.match(records.index.add(id, next, notedFor(next, indexedAt)), {
      onFailure: () => others,
      onSuccess: () => ({ ...next, indexedAt })
    })
  })

  /** Changes a grant, whatever else happens to it at this moment; none when it has ended. */
  const rewrite = Effect.fnUntraced(function*(
    id: string,
    before: Found<Grant>,
    change: (grant: Grant) => Effect.Effect<Grant>
  ) {
    let current: Renewed = Option.some(before)
    while (Option.isSome(current)) {
      const next = yield* change(current.value.value)
      const replaced = yield* records.replace(id, current.value, next, timeToLive(next, next.checkedAt))
      if (Option.isSome(replaced)) return replaced
      current = yield* records.find(id)
    }
    return current
  })

  /** Keeps what Okta said. */
  const keep = Effect.fnUntraced(function*(id: string, before: Found<Grant>, session: OktaSession, checkedAt: number) {
    const tokens = yield* OktaTokens.seal(sealed, session.tokens)
    const kept = yield* rewrite(id, before, (grant) =>
      noted(id, grant, {
        ...grant,
        user: session.user,
        checkedAt,
        ...(session.sessionId === undefined ? undefined : { oktaSession: session.sessionId }),
        // Okta repeats the refresh token only where it replaces it, and need not repeat scopes (RFC 6749 section 6).
        okta: { ...grant.okta, ...tokens }
      }))
    if (Option.isNone(kept)) yield* revokeAtOkta(session.tokens.refreshToken ?? session.tokens.accessToken)
    return kept
  })

  /** Keeps the refresh token by which Okta has replaced that of a grant, before anything else is known of its answer. */
  const keepReplacement = Effect.fnUntraced(function*(
    id: string,
    before: Found<Grant>,
    by: Redacted.Redacted<string>
  ) {
    const refreshToken = yield* OktaTokens.sealToken(sealed, by)
    const kept = yield* Effect.retry(
      rewrite(
        id,
        before,
        (grant) =>
          Effect.succeed(grant.okta === undefined ? grant : { ...grant, okta: { ...grant.okta, refreshToken } })
      ),
      { times: 3 }
    )
    if (Option.isNone(kept)) yield* revokeAtOkta(by)
    return Option.getOrElse(kept, () => before)
  })

  /** Okta may have replaced its refresh token, so that what it said is not given up lightly. */
  const keepIfAdmitted = (id: string, found: Found<Grant>, session: OktaSession, now: number) =>
    Effect.matchEffect(admit({ ...session.user, clientId: found.value.clientId, scopes: found.value.scopes }), {
      onSuccess: () => Effect.retry(keep(id, found, session, now), { times: 3 }),
      onFailure: (error) =>
        error._tag === "NotAdmitted"
          ? Effect.logInfo(`A grant has ended. ${error.message}`).pipe(
            Effect.andThen(
              audit((origin) => new AdmissionRefused({ ...origin, ...named(id, found.value), reason: error.reason }))
            ),
            Effect.andThen(end(id, "not-admitted")),
            Effect.andThen(revokeAtOkta(session.tokens.refreshToken ?? session.tokens.accessToken)),
            Effect.as(Option.none<Found<Grant>>())
          )
          // As if Okta had never been asked, so that it is asked again before any token is issued.
          : Effect.retry(keep(id, found, session, 0), { times: 3 }).pipe(
            Effect.andThen(Effect.fail(unavailable(error.message)))
          )
    })

  /** What is known of the grant, and the grant once more if Okta is to be asked about it. */
  const findDue = Effect.fnUntraced(function*(id: string) {
    const current = yield* records.find(id)
    const now = yield* nowInSeconds
    return { current, now, due: Option.getOrUndefined(Option.filter(current, ({ value }) => isDue(value, now))) }
  })

  const ask = Effect.fnUntraced(function*(id: string) {
    const { current, due: found, now } = yield* findDue(id)
    if (found === undefined) return current
    const { okta: { refreshToken } = {}, user } = found.value
    const token = refreshToken === undefined ? Option.none() : yield* OktaTokens.openToken(sealed, refreshToken)
    if (Option.isNone(token)) {
      yield* end(id, "not-renewable")
      return Option.none()
    }
    let latest = found
    const replaced = (by: Redacted.Redacted<string>) =>
      Effect.map(keepReplacement(id, found, by), (kept) => {
        latest = kept
      })
    return yield* okta.refresh(token.value, replaced).pipe(
      Effect.flatMap((session) => {
        if (session.user.subject === user.subject) {
          return keepIfAdmitted(id, latest, { ...session, user: signedInAs(session.user, user) }, now)
        }
        return Effect.logError("Okta renewed a grant for another person than the one who gave it, so it has ended")
          .pipe(
            Effect.andThen(end(id, "other-person")),
            Effect.as(Option.none<Found<Grant>>())
          )
      }),
      Effect.catchTags({
        OktaRefused: Effect.fnUntraced(function*({ error }) {
          if (!refusals.has(error)) return yield* unclear(`Okta refused to renew a grant with ${error}`)
          yield* Effect.logInfo(`A grant has ended, because Okta answered ${error}`)
          yield* end(id, "okta-refused")
          return Option.none<Found<Grant>>()
        }),
        OktaTokenRefused: ({ message }) =>
          unclear(`Okta renewed a grant with an ID token that is not acceptable: ${message}`)
      }),
      // Where Okta or the store is away, nothing was said.
      (renewed) => watchingRenewals(renewed, ({ _tag }) => _tag === "Unclear" ? true : undefined),
      Effect.catchTag("Unclear", ({ message }) => Effect.fail(unavailable(message)))
    )
  })

  /** Asks Okta unless another server of the deployment does: then waits for that. */
  const askAlone = Effect.fnUntraced(function*(id: string) {
    for (let wait = 0; wait < longestWait; wait++) {
      const { current, due } = yield* findDue(id)
      if (due === undefined) return current
      const turn = `asking:${due.key}`
      if (yield* store.putIfAbsent(turn, "asking", turnLength)) {
        return yield* Effect.uninterruptible(Effect.ensuring(ask(id), Effect.ignore(store.remove(turn))))
      }
      yield* Effect.interruptible(Effect.sleep(pause))
    }
    const outwaited = new OktaUnavailable({ reason: "another server has been asking for too long", retryAfter: 1000 })
    yield* sparingly("Warn", "outwaited", outwaited.message)
    return yield* outwaited
  })

  return {
    end,
    renew: (id) => asking.get(id, Effect.map(askAlone(id), (value) => ({ value, keepFor: 0 })))
  }
})
