import { Cause, Clock, Deferred, Duration, Effect, Latch, Random, Result, type Scope } from "effect"
import { requestDeadline } from "./OktaHttp.ts"

/** How a value is fetched and how long it may be used; times are in milliseconds. */
export interface FreshValueOptions<A, E> {
  /** What is kept, for the log: `key set`. */
  readonly name: string
  readonly fetch: Effect.Effect<A, E>
  /** After this it is fetched again, while the old one serves. */
  readonly lifetime: (value: A) => number
  /** Time that the far side asked us to wait. */
  readonly retryAfter: (error: E) => number | undefined
  /** The same error, saying how long nobody will try again. */
  readonly withRetryAfter: (error: E, retryAfter: number) => E
  /** Whether a failure came from another fresh value, which paces itself, so that asking it again costs nothing. */
  readonly inherited?: (error: E) => boolean
  /** The error of a fetch that `fetch` has no error for. */
  readonly failed: (reason: string) => E
  /** Told of every change; `undefined` when the last good value is too old to be used. */
  readonly onChange?: (value: A | undefined) => void
  /** Run with the age before each attempt, after one that ends an outage, and whenever it is time to try again. */
  readonly record?: (age: number) => Effect.Effect<void>
}

/** A value fetched from elsewhere, kept fresh in the background, its last good state used while that fails. */
export interface FreshValue<A, E> {
  /** The value, waiting only when there is none, or when the one there is was put aside. */
  readonly get: Effect.Effect<A, E>
  /** The same for a purpose: a value put aside that does not suit it is no answer when fetching it anew fails. */
  readonly getFor: (suits: (value: A) => boolean) => Effect.Effect<A, E>
  /** Fetches now, or joins the fetch under way; fails with its failure, or at once while it is too early to try again. */
  readonly refresh: Effect.Effect<A, E>
  /** Fetches anew: a fetch under way, which may have missed what just happened, is awaited first. */
  readonly reload: Effect.Effect<A, E>
  /** The value as it stands. */
  readonly peek: () => A | undefined
  /** Counts as a use of the value, for who keeps what `onChange` told. */
  readonly touch: () => void
  /** Whether there is a value, be it put aside. */
  readonly held: () => boolean
  /** Why the last fetch failed, if it did. */
  readonly failure: () => E | undefined
  /** Whether a fetch is under way. */
  readonly fetching: () => boolean
  /** Time since a value was last fetched, be it still held or too old by now. */
  readonly age: () => number | undefined
}

/** Longest use of the last good value while its source is unavailable. */
const longestAge = Duration.toMillis("24 hours")
/** After this time without a use the value is put aside. */
const longestIdle = Duration.toMillis("1 hour")
const warningInterval = Duration.toMillis("1 minute")
/** A hair longer than one request may take, so that whoever waits for it hears why it failed. */
export const longestWait = Duration.sum(requestDeadline, Duration.millis(50))

/**
 * Keeps a value fresh for as long as the scope lives.
 *
 * One fiber does all the fetching, so that one fetch runs at a time however many wait for it and whoever of them goes
 * away. After a failed fetch nobody tries again before a pause that grows from 1 to 30 seconds. Failures are never kept
 * as answers. Ages are measured on the monotonic clock.
 *
 * A value that nobody has used for an hour is put aside and no longer fetched: the next use fetches it anew, and falls
 * back on the old one when that fails.
 */
export const make = Effect.fnUntraced(function*<A, E>(
  options: FreshValueOptions<A, E>
): Effect.fn.Return<FreshValue<A, E>, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  let value: A | undefined
  let aside: A | undefined
  let used = true
  let usedAt = now()
  let fetchedAt: number | undefined
  let failure: E | undefined
  let failures = 0
  let dueAt = 0
  let warnedAt = -Infinity
  let round = Deferred.makeUnsafe<A, E>()
  // Open from the wish for a fetch until its end.
  const wanted = Latch.makeUnsafe()

  const change = (next: A | undefined) => {
    value = next
    options.onChange?.(next)
  }

  const forgetTooOld = () => {
    if (fetchedAt === undefined || now() - fetchedAt < longestAge) return
    aside = undefined
    if (value !== undefined) change(undefined)
  }

  const usable = () => {
    used = true
    forgetTooOld()
    return value
  }

  const takeBack = () => {
    if (aside !== undefined) change(aside)
    aside = undefined
    return usable()
  }

  const inherits = (error: E) => options.inherited?.(error) === true

  const left = (error: E) => options.withRetryAfter(error, Math.max(0, Math.ceil(dueAt - now())))

  const record = Effect.suspend(() =>
    fetchedAt === undefined || options.record === undefined ? Effect.void : options.record(now() - fetchedAt)
  )

  const succeeded = (next: A) => {
    const first = fetchedAt === undefined
    const recovered = failure !== undefined
    fetchedAt = now()
    failure = undefined
    failures = 0
    dueAt = fetchedAt + options.lifetime(next)
    aside = undefined
    change(next)
    const report = recovered ? Effect.logInfo(`The ${options.name} is available again`) : Effect.void
    return first || recovered ? Effect.andThen(record, report) : report
  }

  const failed = (error: E, cause: Cause.Cause<E>, random: number) => {
    const time = now()
    failure = error
    failures = inherits(error) ? 0 : failures + 1
    dueAt = time + Math.max(options.retryAfter(error) ?? 0, pause(failures, random))
    // The value that a failure is inherited from has warned of it already.
    if (inherits(error) || time - warnedAt < warningInterval) return Effect.void
    warnedAt = time
    const state = (value ?? aside) === undefined || fetchedAt === undefined
      ? "none is held"
      : `the one of ${age(time - fetchedAt)} ago is used`
    return Effect.logWarning(`The ${options.name} cannot be fetched, ${state}`, Cause.hasFails(cause) ? error : cause)
  }

  // Whatever goes wrong, a defect among it, is a failure of this fetch and not the end of fetching.
  const attempt = Effect.catchCause(options.fetch, (cause) => {
    const error = Result.getOrElse(Cause.findError(cause), () => options.failed("the attempt broke off"))
    return Effect.fail({ cause, error })
  })

  const fetch = Effect.gen(function*() {
    wanted.openUnsafe()
    yield* record
    const random = yield* Random.next
    const result = yield* Effect.result(attempt)
    const report = Result.match(result, {
      onSuccess: succeeded,
      onFailure: ({ cause, error }) => failed(error, cause, random)
    })
    const finished = round
    round = Deferred.makeUnsafe()
    wanted.closeUnsafe()
    Deferred.doneUnsafe(finished, Effect.fromResult(Result.mapError(result, ({ error }) => left(error))))
    yield* report
  })

  const rest = Effect.suspend(() => {
    forgetTooOld()
    return Effect.timeoutOption(wanted.await, Math.max(0, dueAt - now()))
  })

  const whileIdle = Effect.suspend(() => {
    const time = now()
    if (used) usedAt = time
    used = false
    if (value === undefined || wanted.isOpen() || time - usedAt < longestIdle) return Effect.void
    aside = value
    change(undefined)
    return wanted.await
  })

  yield* Effect.exit(fetch).pipe(
    Effect.andThen(rest),
    Effect.andThen(record),
    Effect.andThen(whileIdle),
    Effect.forever,
    Effect.ensuring(Effect.sync(() => Deferred.doneUnsafe(round, Effect.fail(options.failed("it is no longer kept"))))),
    Effect.forkScoped
  )

  const refresh = Effect.suspend(() => {
    if (failure !== undefined && !inherits(failure) && !wanted.isOpen() && now() < dueAt) {
      return Effect.fail(left(failure))
    }
    wanted.openUnsafe()
    return Effect.timeoutOrElse(Deferred.await(round), {
      duration: longestWait,
      orElse: () => Effect.fail(options.failed(`nothing came within ${Duration.format(requestDeadline)}`))
    })
  })

  const getFor = (suits: (value: A) => boolean) =>
    Effect.suspend(() => {
      const current = usable()
      if (current !== undefined) return Effect.succeed(current)
      return Effect.catch(refresh, (error) => {
        const old = takeBack()
        return old === undefined || !suits(old) ? Effect.fail(error) : Effect.succeed(old)
      })
    })

  return {
    refresh,
    reload: Effect.suspend(() => wanted.isOpen() ? Effect.andThen(Effect.exit(refresh), refresh) : refresh),
    get: getFor(() => true),
    getFor,
    peek: usable,
    touch: () => {
      used = true
    },
    held: () => (usable() ?? aside) !== undefined,
    failure: () => failure,
    fetching: () => wanted.isOpen(),
    age: () => fetchedAt === undefined ? undefined : now() - fetchedAt
  }
})

/**
 * How long to wait after so many failures in a row: at least 1 second and up to 2, 4, 8, 16 and then 30, with full jitter
 * between the two, so that many servers do not come back to Okta at one moment.
 */
const pause = (failures: number, random: number) =>
  1000 + random * (Math.min(30_000, 1000 * 2 ** Math.min(failures, 5)) - 1000)

const age = (millis: number) => Duration.format(Duration.seconds(Math.round(millis / 1000)))
