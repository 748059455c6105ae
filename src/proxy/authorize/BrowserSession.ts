import { Duration, Effect, Option, Schema } from "effect"
import type { Store, StoreUnavailable } from "../../store/Store.ts"
import type { Sealed } from "../Sealed.ts"
import * as SealedRecords from "../SealedRecords.ts"

/** What was granted in one browser, the latest last. */
const Session = Schema.Struct({ grants: Schema.Array(Schema.String) })

/** As long as grants last without being used. */
const lifetime = Duration.days(30)

/** An empty record is as none. */
const forgetting = Duration.seconds(1)

/** How many grants of a browser are known: more than a person has clients. */
const most = 100

/** Which grants were given in which browser, so that the person can sign out there. */
export interface BrowserSessions {
  /** Adds a grant to a browser, by the browser's mark. */
  readonly add: (browser: string, grantId: string) => Effect.Effect<void, StoreUnavailable>
  /** Ends every grant of a browser, the latest last, and forgets them when all have ended; to be repeated if it fails. */
  readonly end: <E>(
    browser: string,
    endGrant: (grantId: string) => Effect.Effect<unknown, E>
  ) => Effect.Effect<void, E | StoreUnavailable>
}

export const make = (
  keeping: { readonly store: Store["Service"]; readonly sealed: Sealed["Service"] }
): BrowserSessions => {
  const records = SealedRecords.make("session", "session", Session, keeping)

  const add = Effect.fnUntraced(function*(browser: string, grantId: string) {
    const found = Option.getOrUndefined(yield* records.find(browser))
    if (found === undefined) return yield* records.addNew(browser, { grants: [grantId] }, lifetime)
    const grants = [...found.value.grants, grantId].slice(-most)
    return Option.isSome(yield* records.replace(browser, found, { grants }, lifetime))
  })

  return {
    // Another tab of the browser may have come back in the same moment.
    add: (browser, grantId) => SealedRecords.unlessOutrun(add(browser, grantId), 6),
    end: Effect.fnUntraced(function*(browser, endGrant) {
      let found = yield* records.find(browser)
      while (Option.isSome(found)) {
        yield* Effect.forEach(found.value.value.grants, endGrant)
        // That they are known for a while longer does no harm. Another tab may have added one meanwhile.
        const forgotten = yield* Effect.option(records.replace(browser, found.value, { grants: [] }, forgetting))
        if (Option.isNone(forgotten) || Option.isSome(forgotten.value)) return
        found = yield* records.find(browser)
      }
    })
  }
}
