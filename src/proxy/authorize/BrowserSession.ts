import { Duration, Effect, Option, Schema } from "effect"
import { type Store, StoreUnavailable } from "../../store/Store.ts"
import type { Sealed } from "../Sealed.ts"
import * as SealedRecords from "../SealedRecords.ts"

/** What was granted in one browser, the latest last. */
const Session = Schema.Struct({ grants: Schema.Array(Schema.String) })

/** As long as grants last without being used. */
const lifetime = Duration.days(30)

/** How many grants of a browser are known: more than a person has clients. */
const most = 100

/** Which grants were given in which browser, so that the person can sign out there. */
export interface BrowserSessions {
  /** Adds a grant to a browser, by the browser's mark. */
  readonly add: (browser: string, grantId: string) => Effect.Effect<void, StoreUnavailable>
  /** The grants of a browser, which has none from then on. */
  readonly end: (browser: string) => Effect.Effect<ReadonlyArray<string>, StoreUnavailable>
}

export const make = (
  keeping: { readonly store: Store["Service"]; readonly sealed: Sealed["Service"] }
): BrowserSessions => {
  const records = SealedRecords.make("session", "session", Session, keeping)

  const add = Effect.fnUntraced(function*(browser: string, grantId: string) {
    const found = Option.getOrUndefined(yield* records.find(browser))
    if (found === undefined) {
      yield* records.add(browser, { grants: [grantId] }, lifetime)
      return true
    }
    const grants = [...found.value.grants, grantId].slice(-most)
    return Option.isSome(yield* records.replace(browser, found, { grants }, lifetime))
  })

  return {
    // Another tab of the browser may have come back in the same moment.
    add: (browser, grantId) =>
      add(browser, grantId).pipe(
        Effect.filterOrFail(
          (done) => done,
          () => new StoreUnavailable({ operation: "compareAndSet", reason: "another writer was always faster" })
        ),
        Effect.retry({ times: 5 })
      ),
    end: (browser) =>
      Effect.map(records.take(browser), Option.match({ onNone: () => [], onSome: ({ grants }) => grants }))
  }
}
