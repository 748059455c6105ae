import { Clock, Effect, Schema, Semaphore } from "effect"
import type { Memory } from "./StandInStorage.ts"

/** What a step is part of. */
export const Phase = Schema.Literals(["discovery", "sign-in", "tokens", "call", "refresh", "sign-out"])

const Pair = Schema.Tuple([Schema.String, Schema.String])

/** One exchange over HTTP, as it happened, without what is secret in it. */
export const Step = Schema.Struct({
  /** When it began; no two are equal. */
  at: Schema.Finite,
  phase: Phase,
  from: Schema.Literals(["client", "browser", "server"]),
  to: Schema.Literals(["client", "server", "Okta"]),
  title: Schema.String,
  /** What it is for, in a sentence. */
  note: Schema.String,
  method: Schema.String,
  /** Without its query. */
  url: Schema.String,
  /** The query, or the form that was sent. */
  parameters: Schema.Array(Pair),
  requestHeaders: Schema.Array(Pair),
  requestBody: Schema.String,
  status: Schema.Finite,
  responseHeaders: Schema.Array(Pair),
  responseBody: Schema.String
})

/** One exchange over HTTP, as it happened, without what is secret in it. */
export type Step = typeof Step.Type

/** Where a visitor is on the way, and all that the page's client holds. */
export const Visit = Schema.Struct({
  steps: Schema.Array(Step),
  clientId: Schema.optionalKey(Schema.String),
  state: Schema.optionalKey(Schema.String),
  codeVerifier: Schema.optionalKey(Schema.String),
  accessToken: Schema.optionalKey(Schema.String),
  refreshToken: Schema.optionalKey(Schema.String),
  /** What the tool answered last. */
  answer: Schema.optionalKey(Schema.String),
  problem: Schema.optionalKey(Schema.String)
})

/** Where a visitor is on the way, and all that the page's client holds. */
export type Visit = typeof Visit.Type

/** Visits by the value of their cookie, and by whatever else tells whose a request is. */
export interface Visits {
  readonly get: (id: string) => Effect.Effect<Visit | undefined>
  readonly put: (id: string, visit: Visit) => Effect.Effect<void>
  /** Changes a visit, if there is one. */
  readonly change: (id: string, change: (visit: Visit) => Visit) => Effect.Effect<void>
  readonly add: (id: string, step: Step) => Effect.Effect<void>
  /** From now on this text, which is hard to guess, belongs to the visit. */
  readonly link: (text: string, id: string) => Effect.Effect<void>
  readonly idOf: (text: string) => Effect.Effect<string | undefined>
  /** The time, later with each use. */
  readonly time: Effect.Effect<number>
}

/** A page of more than these is no use to anybody, and a memory has its limits. */
const mostSteps = 40

const decodeVisit = Schema.decodeUnknownEffect(Visit)

/** Visits in a memory. */
export const makeVisits = (memory: Memory): Visits => {
  const oneAtATime = Semaphore.makeUnsafe(1).withPermits(1)
  let last = 0

  const get = (id: string) =>
    Effect.flatMap(
      memory.get("Visit", id),
      // One that another release has written is as none.
      (kept) => kept === undefined ? Effect.undefined : Effect.catch(decodeVisit(kept), () => Effect.undefined)
    )
  const put = (id: string, visit: Visit) => memory.put("Visit", id, { ...visit })
  const change = (id: string, change: (visit: Visit) => Visit) =>
    oneAtATime(Effect.flatMap(get(id), (visit) => visit === undefined ? Effect.void : put(id, change(visit))))

  return {
    get,
    put,
    change,
    add: (id, step) =>
      change(id, (visit) => ({
        ...visit,
        steps: [...visit.steps, step].sort((a, b) => a.at - b.at).slice(-mostSteps)
      })),
    link: (text, id) => memory.put("Link", text, { id }),
    idOf: (text) =>
      Effect.map(memory.get("Link", text), (kept) => typeof kept?.["id"] === "string" ? kept["id"] : undefined),
    time: Effect.map(Clock.currentTimeMillis, (now) => last = Math.max(now, last + 0.001))
  }
}
